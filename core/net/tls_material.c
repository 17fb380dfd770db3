#include "net/tls_material.h"

#include "base/mem.h"
#include "net/tls_file.h"

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is done with each certificate that the options name. False ends it. */
struct visit {
    bool (*one)(struct visit *visit, const char *cert, const char *key);
    struct buf *out;
    struct fault *fault;
    uint32_t count;
};

/* ---- finding ---- */

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* The next path of a list, in `path`. */
static bool next_path(const char **list, char path[PATH_MAX])
{
    if (*list == NULL || **list == '\0')
        return false;
    size_t len = strcspn(*list, "\n");
    size_t used = len < PATH_MAX ? len : PATH_MAX - 1;
    memcpy(path, *list, used);
    path[used] = '\0';
    *list += len + ((*list)[len] == '\n');
    return true;
}

static bool join(char path[PATH_MAX], const char *directory, const char *name)
{
    int len = snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return len > 0 && len < PATH_MAX;
}

static bool visit_entry(struct visit *visit, const char *directory, const char *name)
{
    char cert[PATH_MAX], key[PATH_MAX];
    const char *dot = strrchr(name, '.');
    if (*name == '.' || !join(cert, directory, name))
        return true;
    if (is_directory(cert)) {
        char inner[PATH_MAX];
        return !join(inner, cert, "fullchain.pem") || !join(key, cert, "privkey.pem") ||
               access(inner, F_OK) != 0 || visit->one(visit, inner, key);
    }
    if (dot == NULL || (strcmp(dot, ".pem") != 0 && strcmp(dot, ".crt") != 0))
        return true;
    memcpy(key, cert, strlen(cert) + 1);
    memcpy(strrchr(key, '.'), ".key", 4); /* as long as the ending that it replaces */
    return visit->one(visit, cert, access(key, F_OK) == 0 ? key : cert);
}

static bool visit_directory(struct visit *visit, const char *directory)
{
    struct dirent **entries = NULL;
    int count = scandir(directory, &entries, NULL, alphasort);
    uint32_t before = visit->count;
    bool is_good = true;
    for (int i = 0; i < count; i++) {
        is_good = is_good && visit_entry(visit, directory, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (is_good && visit->count == before && visit->fault != NULL) {
        fault_set(visit->fault,
                  "tls: %s: holds no certificate: expected NAME.pem with NAME.key, or directories "
                  "with fullchain.pem and privkey.pem",
                  directory);
        return false;
    }
    return is_good;
}

static bool visit_all(struct visit *visit, const struct tls_material_files *files)
{
    const char *certs = files->certfiles, *keys = files->keyfiles;
    char cert[PATH_MAX], key[PATH_MAX];
    while (next_path(&certs, cert)) {
        bool has_key = next_path(&keys, key);
        if (is_directory(cert) ? !visit_directory(visit, cert)
                               : !visit->one(visit, cert, has_key ? key : cert))
            return false;
    }
    return true;
}

/* ---- reading ---- */

static void add_item(struct buf *out, enum tls_material_kind kind, struct str bytes)
{
    uint32_t head[2] = {kind, (uint32_t)bytes.len};
    buf_add(out, head, sizeof(head));
    buf_add_str(out, bytes);
}

static bool add_file(struct buf *out, enum tls_material_kind kind, const char *path,
                     struct fault *fault)
{
    struct buf bytes = {0};
    bool is_read = tls_file_read(path, &bytes, fault);
    if (is_read)
        add_item(out, kind, buf_str(&bytes));
    tls_file_forget(&bytes);
    return is_read;
}

static bool read_one(struct visit *visit, const char *cert, const char *key)
{
    char ocsp[PATH_MAX];
    add_item(visit->out, TLS_MATERIAL_CERT_NAME, str_of(cert));
    add_item(visit->out, TLS_MATERIAL_KEY_NAME, str_of(key));
    visit->count++;
    if (!add_file(visit->out, TLS_MATERIAL_CERT, cert, visit->fault) ||
        !add_file(visit->out, TLS_MATERIAL_KEY, key, visit->fault))
        return false;
    int len = snprintf(ocsp, sizeof(ocsp), "%s.ocsp", cert);
    if (len < 0 || len >= PATH_MAX || access(ocsp, F_OK) != 0)
        return true;
    return add_file(visit->out, TLS_MATERIAL_OCSP, ocsp, visit->fault);
}

bool tls_material_read(const struct tls_material_files *files, struct buf *out, struct fault *fault)
{
    struct visit visit = {.one = read_one, .out = out, .fault = fault};
    char wish = (char)files->clients;
    if (!visit_all(&visit, files))
        return false;
    add_item(out, TLS_MATERIAL_CLIENTS, (struct str){&wish, 1});
    if (files->ca_certs == NULL)
        return true;
    add_item(out, TLS_MATERIAL_CA_NAME, str_of(files->ca_certs));
    return add_file(out, TLS_MATERIAL_CA, files->ca_certs, fault);
}

bool tls_material_next(struct str *rest, enum tls_material_kind *kind, struct str *bytes)
{
    uint32_t head[2];
    if (rest->len < sizeof(head))
        return false;
    memcpy(head, rest->ptr, sizeof(head));
    if (head[1] > rest->len - sizeof(head))
        return false;
    *kind = head[0];
    *bytes = (struct str){rest->ptr + sizeof(head), head[1]};
    rest->ptr += sizeof(head) + head[1];
    rest->len -= sizeof(head) + head[1];
    return true;
}

/* ---- changes ---- */

static void stamp_file(struct buf *out, const char *path)
{
    struct stat info = {0};
    if (stat(path, &info) != 0)
        info = (struct stat){0};
    buf_printf(out, "%s %ju %ju %jd %jd.%09ld\n", path, (uintmax_t)info.st_dev,
               (uintmax_t)info.st_ino, (intmax_t)info.st_size, (intmax_t)info.st_mtim.tv_sec,
               info.st_mtim.tv_nsec);
}

static bool stamp_one(struct visit *visit, const char *cert, const char *key)
{
    char ocsp[PATH_MAX];
    stamp_file(visit->out, cert);
    stamp_file(visit->out, key);
    int len = snprintf(ocsp, sizeof(ocsp), "%s.ocsp", cert);
    if (len > 0 && len < PATH_MAX)
        stamp_file(visit->out, ocsp);
    return true;
}

void tls_material_stamp(const struct tls_material_files *files, struct buf *out)
{
    struct visit visit = {.one = stamp_one, .out = out};
    visit_all(&visit, files);
    if (files->ca_certs != NULL)
        stamp_file(out, files->ca_certs);
}
