/*
 * The cache is the process's and its lock the only one of this room: a store is shared by threads
 * that have nothing else in common, and is thread-safe itself.
 */
#include "net/tls_trust.h"

#include "base/mem.h"
#include "net/tls_reason.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STORES_KEPT = 8, KEY_BYTES = 8448 };

/* Where the authorities are: either may be missing. */
struct source {
    const char *file;
    const char *directory; /* files named by hash, as c_rehash makes them */
};

struct cached {
    char *key;
    X509_STORE *store;
};

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cached cache[STORES_KEPT];
static unsigned next_place;

/* ---- where they are ---- */

/* Debian, Fedora, SUSE, older Red Hat, Alpine and the BSDs, in this order. */
static const char *const well_known_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    NULL,
};

static bool has_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0 &&
           access(path, R_OK) == 0;
}

/* "5ed36f99.0" */
static bool is_hash_name(const char *name)
{
    size_t hex = strspn(name, "0123456789abcdef");
    return hex == 8 && name[8] == '.' && name[9] >= '0' && name[9] <= '9';
}

static bool has_hashed_files(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry = NULL;
    if (directory == NULL)
        return false;
    while ((entry = readdir(directory)) != NULL && !is_hash_name(entry->d_name))
        ;
    closedir(directory);
    return entry != NULL;
}

/* An empty one counts as none, as in a shell. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

/* Each variable stands for its own default, as everywhere with OpenSSL. */
static bool find_system(struct source *source, struct fault *fault)
{
    const char *file = variable(X509_get_default_cert_file_env());
    const char *directory = variable(X509_get_default_cert_dir_env());
    if (file != NULL && !has_bytes(file)) {
        fault_set(fault, "SSL_CERT_FILE names %s: %s", file,
                  access(file, R_OK) != 0 ? strerror(errno) : "it is empty, or no file");
        return false;
    }
    source->file = file;
    source->directory = directory != NULL ? directory : X509_get_default_cert_dir();
    if (!has_hashed_files(source->directory))
        source->directory = NULL;
    if (directory != NULL && source->directory == NULL) {
        fault_set(fault,
                  "SSL_CERT_DIR names %s, which holds no certificates under their hashes; "
                  "openssl rehash makes those",
                  directory);
        return false;
    }
    if (source->file == NULL && has_bytes(X509_get_default_cert_file()))
        source->file = X509_get_default_cert_file();
    for (size_t i = 0; source->file == NULL && well_known_files[i] != NULL; i++)
        if (has_bytes(well_known_files[i]))
            source->file = well_known_files[i];
    if (source->file != NULL || source->directory != NULL)
        return true;
    fault_set(fault, "this system has no certificate authorities to check servers against: install "
                     "the package ca-certificates, or set SSL_CERT_FILE or ca_file to a PEM file");
    return false;
}

/* ---- a bundle that is read when the directory does not have what is wanted ---- */

struct later {
    X509_LOOKUP *by_file;
    char *path; /* NULL: it was read */
};

static pthread_mutex_t loading_lock = PTHREAD_MUTEX_INITIALIZER;

static void read_once(struct later *later)
{
    pthread_mutex_lock(&loading_lock);
    if (later->path != NULL) {
        X509_LOOKUP_load_file(later->by_file, later->path, X509_FILETYPE_PEM);
        ERR_clear_error();
        free(later->path);
        later->path = NULL;
    }
    pthread_mutex_unlock(&loading_lock);
}

static int find_later(X509_LOOKUP *lookup, X509_LOOKUP_TYPE type, const X509_NAME *name,
                      X509_OBJECT *found)
{
    X509_STORE *store = X509_LOOKUP_get_store(lookup);
    if (type != X509_LU_X509)
        return 0;
    read_once(X509_LOOKUP_get_method_data(lookup));
    X509_STORE_lock(store);
    X509_OBJECT *object =
        X509_OBJECT_retrieve_by_subject(X509_STORE_get0_objects(store), type, name);
    int is_there =
        object != NULL && X509_OBJECT_set1_X509(found, X509_OBJECT_get0_X509(object)) == 1;
    X509_STORE_unlock(store);
    return is_there;
}

static void free_later(X509_LOOKUP *lookup)
{
    struct later *later = X509_LOOKUP_get_method_data(lookup);
    if (later != NULL)
        free(later->path);
    free(later);
}

/* Under cache_lock, so that there is one method. */
static bool add_later(X509_STORE *store, const char *path)
{
    static X509_LOOKUP_METHOD *method;
    if (method == NULL) {
        if ((method = X509_LOOKUP_meth_new("bundle later")) == NULL)
            return false;
        X509_LOOKUP_meth_set_get_by_subject(method, find_later);
        X509_LOOKUP_meth_set_free(method, free_later);
    }
    X509_LOOKUP *by_file = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    X509_LOOKUP *lookup = by_file != NULL ? X509_STORE_add_lookup(store, method) : NULL;
    if (lookup == NULL)
        return false;
    struct later *later = MEM_NEW(struct later);
    later->by_file = by_file;
    later->path = mem_copy_text(path);
    X509_LOOKUP_set_method_data(lookup, later);
    return true;
}

/* ---- stores ---- */

static X509_STORE *refuse_store(X509_STORE *store, struct fault *fault)
{
    fault_set(fault, "tls: there is no memory for the certificates of the authorities");
    ERR_clear_error();
    X509_STORE_free(store);
    return NULL;
}

static X509_STORE *load_file(const char *path, struct fault *fault)
{
    X509_STORE *store = X509_STORE_new();
    ERR_clear_error();
    if (store == NULL)
        return refuse_store(store, fault);
    if (has_bytes(path) && X509_STORE_load_file(store, path) == 1)
        return store;
    if (access(path, R_OK) != 0)
        fault_set(fault, "tls: %s: %s", path, strerror(errno));
    else
        fault_set(fault, "tls: %s: holds no certificate in PEM form (\"BEGIN CERTIFICATE\")", path);
    ERR_clear_error();
    X509_STORE_free(store);
    return NULL;
}

static X509_STORE *load(const struct source *source, struct fault *fault)
{
    if (source->directory == NULL)
        return load_file(source->file, fault);
    X509_STORE *store = X509_STORE_new();
    if (store == NULL || X509_STORE_load_path(store, source->directory) != 1 ||
        (source->file != NULL && !add_later(store, source->file)))
        return refuse_store(store, fault);
    return store;
}

/* What a store was made from: a file that has changed makes another. */
static void make_key(char key[KEY_BYTES], const struct source *source)
{
    struct stat info = {0};
    if (source->file != NULL)
        stat(source->file, &info);
    snprintf(key, KEY_BYTES, "%s|%s|%ju|%jd|%jd.%09ld", source->file != NULL ? source->file : "",
             source->directory != NULL ? source->directory : "", (uintmax_t)info.st_ino,
             (intmax_t)info.st_size, (intmax_t)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

static X509_STORE *find_cached(const char *key)
{
    for (unsigned i = 0; i < STORES_KEPT; i++)
        if (cache[i].key != NULL && strcmp(cache[i].key, key) == 0)
            return cache[i].store;
    return NULL;
}

/* In place of the one that was made first; whoever uses that keeps it. */
static void keep(const char *key, X509_STORE *store)
{
    struct cached *place = &cache[next_place++ % STORES_KEPT];
    free(place->key);
    X509_STORE_free(place->store);
    *place = (struct cached){mem_copy_text(key), store};
}

struct x509_store_st *tls_trust_get(const char *ca_file, struct fault *fault)
{
    struct source source = {.file = ca_file};
    char key[KEY_BYTES];
    if (ca_file == NULL && !find_system(&source, fault))
        return NULL;
    make_key(key, &source);
    pthread_mutex_lock(&cache_lock);
    X509_STORE *store = find_cached(key);
    if (store == NULL && (store = load(&source, fault)) != NULL)
        keep(key, store);
    if (store != NULL)
        X509_STORE_up_ref(store);
    pthread_mutex_unlock(&cache_lock);
    return store;
}
