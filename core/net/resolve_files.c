#include "net/resolve_files.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The bounds of glibc; defaults as in resolv.conf (5). */
enum {
    DNS_PORT = 53,
    LOOK_EVERY_MS = 1000,
    TIMEOUT_S = 5,
    TIMEOUT_MAX_S = 30,
    ATTEMPTS = 2,
    ATTEMPTS_MAX = 5,
    NDOTS_MAX = 15,
    FILE_MAX_BYTES = 64 * 1024 * 1024,
    PIECE_BYTES = 16 * 1024,
};

enum which { RESOLV_CONF, HOSTS, NSSWITCH_CONF };

static const char *const names[RESOLVE_FILES] = {"resolv.conf", "hosts", "nsswitch.conf"};

void resolve_files_init(struct resolve_files *files)
{
    const char *dir = getenv("MOONLOOP_ETC");
    *files = (struct resolve_files){0};
    if (dir == NULL || *dir == '\0')
        dir = "/etc";
    for (int i = 0; i < RESOLVE_FILES; i++) {
        size_t bytes = strlen(dir) + strlen(names[i]) + 2;
        files->paths[i] = mem_zeroed(bytes);
        snprintf(files->paths[i], bytes, "%s/%s", dir, names[i]);
    }
}

static void forget_hosts(struct resolve_files *files)
{
    free(files->hosts_text);
    free(files->hosts);
    files->hosts_text = NULL;
    files->hosts = NULL;
    files->nhosts = 0;
}

static void forget_domains(struct resolve_files *files)
{
    while (files->ndomains != 0)
        free(files->domains[--files->ndomains]);
}

void resolve_files_deinit(struct resolve_files *files)
{
    forget_hosts(files);
    forget_domains(files);
    for (int i = 0; i < RESOLVE_FILES; i++)
        free(files->paths[i]);
}

/* ---- lines and words ---- */

/* All of it with a NUL behind it; a file that is not there is empty. To be freed. */
static char *read_file(const char *path)
{
    struct buf text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (fd >= 0 && text.len < FILE_MAX_BYTES) {
        buf_reserve(&text, PIECE_BYTES);
        ssize_t count = read(fd, text.ptr + text.len, PIECE_BYTES);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        text.len += (size_t)count;
    }
    if (fd >= 0)
        close(fd);
    buf_add_char(&text, '\0');
    return text.ptr;
}

/* The next line, ended with NUL; its comment is cut off. NULL: there is none. */
static char *next_line(char **text, const char *comment_marks)
{
    char *line = *text;
    if (*line == '\0')
        return NULL;
    size_t len = strcspn(line, "\n");
    *text = line + len + (line[len] == '\n');
    line[len] = '\0';
    line[strcspn(line, comment_marks)] = '\0';
    return line;
}

static char *next_word(char **line)
{
    char *word = *line + strspn(*line, " \t\r\f\v");
    if (*word == '\0')
        return NULL;
    size_t len = strcspn(word, " \t\r\f\v");
    *line = word + len + (word[len] != '\0');
    word[len] = '\0';
    return word;
}

static void to_lower(char *text)
{
    for (; *text != '\0'; text++)
        *text = (char)tolower((unsigned char)*text);
}

/* ---- resolv.conf ---- */

/* "fe80::1%eth0": the link that the address is on. */
static bool take_scope(char *host, uint32_t *scope)
{
    char *mark = strchr(host, '%');
    *scope = 0;
    if (mark == NULL)
        return true;
    *mark = '\0';
    uint64_t number;
    if (str_to_u64(str_of(mark + 1), &number) && number <= UINT32_MAX)
        *scope = (uint32_t)number;
    else
        *scope = if_nametoindex(mark + 1);
    return *scope != 0;
}

bool resolve_parse_server(struct str text, struct address *server)
{
    char host[64];
    uint64_t port = DNS_PORT;
    const char *end = text.ptr + text.len, *colon = end;
    const char *last = text.len != 0 ? memrchr(text.ptr, ':', text.len) : NULL;
    bool is_bracketed = text.len != 0 && *text.ptr == '[';
    if (is_bracketed) {
        const char *bracket = memchr(text.ptr, ']', text.len);
        if (bracket == NULL || (bracket + 1 != end && bracket + 1 != last))
            return false;
        colon = bracket + 1;
        text = (struct str){text.ptr + 1, (size_t)(bracket - text.ptr - 1)};
    } else if (last != NULL && memchr(text.ptr, ':', text.len) == last) {
        colon = last; /* one alone: IPv4 with a port */
        text.len = (size_t)(last - text.ptr);
    }
    if (colon != end && (!str_to_u64((struct str){colon + 1, (size_t)(end - colon - 1)}, &port) ||
                         port == 0 || port > 65535))
        return false;
    if (text.len == 0 || text.len >= sizeof(host))
        return false;
    memcpy(host, text.ptr, text.len);
    host[text.len] = '\0';
    uint32_t scope;
    if (!take_scope(host, &scope) || !address_literal(server, host, (uint16_t)port))
        return false;
    bool is_six = server->as.base.sa_family == AF_INET6;
    if (is_six)
        ((struct sockaddr_in6 *)&server->as.storage)->sin6_scope_id = scope;
    return is_six || (!is_bracketed && scope == 0);
}

static void read_domains(struct resolve_files *files, char *words)
{
    char *word;
    forget_domains(files); /* the last such line counts */
    while ((word = next_word(&words)) != NULL && files->ndomains < RESOLVE_DOMAINS_MAX) {
        size_t len = strlen(word);
        if (len > 1 && word[len - 1] == '.')
            word[len - 1] = '\0';
        to_lower(word);
        files->domains[files->ndomains++] = mem_copy_text(strcmp(word, ".") == 0 ? "" : word);
    }
}

/* "ndots:2" */
static void read_number(const char *word, const char *name, uint32_t most, uint32_t *number)
{
    uint64_t value;
    size_t len = strlen(name);
    if (strncmp(word, name, len) == 0 && str_to_u64(str_of(word + len), &value))
        *number = value > most ? most : (uint32_t)value;
}

static void read_options(struct resolve_files *files, char *words)
{
    char *word;
    while ((word = next_word(&words)) != NULL) {
        uint32_t seconds = files->timeout_ms / 1000;
        read_number(word, "ndots:", NDOTS_MAX, &files->ndots);
        read_number(word, "timeout:", TIMEOUT_MAX_S, &seconds);
        read_number(word, "attempts:", ATTEMPTS_MAX, &files->attempts);
        files->timeout_ms = (seconds != 0 ? seconds : 1) * 1000;
        files->attempts = files->attempts != 0 ? files->attempts : 1;
        if (strcmp(word, "rotate") == 0)
            files->rotates = true;
    }
}

static void read_resolv_line(struct resolve_files *files, char *line)
{
    char *word = next_word(&line);
    if (word == NULL)
        return;
    if (strcmp(word, "search") == 0 || strcmp(word, "domain") == 0) {
        read_domains(files, line);
    } else if (strcmp(word, "options") == 0) {
        read_options(files, line);
    } else if (strcmp(word, "nameserver") == 0 && files->nservers < RESOLVE_SERVERS_MAX) {
        word = next_word(&line);
        if (word != NULL && resolve_parse_server(str_of(word), &files->servers[files->nservers]))
            files->nservers++;
    }
}

/* Without a search list the domain of the host counts, as with glibc. */
static void search_own_domain(struct resolve_files *files)
{
    char host[256] = "";
    if (gethostname(host, sizeof(host) - 1) != 0)
        return;
    char *dot = strchr(host, '.');
    if (dot != NULL && dot[1] != '\0')
        read_domains(files, dot + 1);
}

/* The variables of resolv.conf (5). */
static void read_environment(struct resolve_files *files)
{
    const char *domains = getenv("LOCALDOMAIN"), *options = getenv("RES_OPTIONS");
    char *words = mem_copy_text(domains != NULL ? domains : "");
    if (domains != NULL)
        read_domains(files, words);
    free(words);
    words = mem_copy_text(options != NULL ? options : "");
    read_options(files, words);
    free(words);
}

static void read_resolv_conf(struct resolve_files *files)
{
    char *text = read_file(files->paths[RESOLV_CONF]), *rest = text, *line;
    forget_domains(files);
    files->nservers = 0;
    files->ndots = 1;
    files->timeout_ms = TIMEOUT_S * 1000;
    files->attempts = ATTEMPTS;
    files->rotates = false;
    search_own_domain(files);
    while ((line = next_line(&rest, "#;")) != NULL)
        read_resolv_line(files, line);
    read_environment(files);
    if (files->nservers == 0)
        files->nservers = address_literal(&files->servers[0], "127.0.0.1", DNS_PORT);
    free(text);
}

/* ---- nsswitch.conf ---- */

static void read_nsswitch_conf(struct resolve_files *files)
{
    char *text = read_file(files->paths[NSSWITCH_CONF]), *rest = text, *line, *word;
    bool is_told = false;
    files->has_files = files->has_dns = true;
    files->has_other = files->dns_first = false;
    while (!is_told && (line = next_line(&rest, "#")) != NULL) {
        word = next_word(&line);
        if (word == NULL || strcmp(word, "hosts:") != 0)
            continue;
        is_told = true;
        files->has_files = files->has_dns = false;
        while ((word = next_word(&line)) != NULL) {
            bool is_dns = strcmp(word, "dns") == 0, is_files = strcmp(word, "files") == 0;
            files->dns_first |= is_dns && !files->has_files;
            files->has_dns |= is_dns;
            files->has_files |= is_files;
            files->has_other |= !is_dns && !is_files && *word != '[' && !strchr(word, ']');
        }
    }
    free(text);
}

/* ---- hosts ---- */

static void add_host(struct resolve_files *files, uint32_t *cap, const char *name,
                     const char *address)
{
    if (files->nhosts == *cap) {
        *cap = *cap != 0 ? *cap * 2 : 32;
        files->hosts = mem_grow(files->hosts, *cap * sizeof(*files->hosts));
    }
    files->hosts[files->nhosts] = (struct host_line){name, address, files->nhosts};
    files->nhosts++;
}

static int compare_hosts(const void *left, const void *right)
{
    const struct host_line *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : (a->number > b->number) - (a->number < b->number);
}

static void read_hosts(struct resolve_files *files)
{
    uint32_t cap = 0;
    char *line, *name;
    forget_hosts(files);
    files->hosts_text = read_file(files->paths[HOSTS]);
    char *rest = files->hosts_text;
    while ((line = next_line(&rest, "#")) != NULL) {
        const char *address = next_word(&line);
        while (address != NULL && (name = next_word(&line)) != NULL) {
            to_lower(name);
            add_host(files, &cap, name, address);
        }
    }
    if (files->nhosts != 0)
        qsort(files->hosts, files->nhosts, sizeof(*files->hosts), compare_hosts);
}

uint32_t resolve_files_host(const struct resolve_files *files, const char *name,
                            struct address *addresses, uint32_t most)
{
    uint32_t low = 0, high = files->nhosts, count = 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(files->hosts[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < files->nhosts && strcmp(files->hosts[low].name, name) == 0 && count < most; low++)
        if (address_literal(&addresses[count], files->hosts[low].address, 0))
            count++;
    return count;
}

/* ---- all ---- */

static struct file_stamp stamp_of(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return (struct file_stamp){0};
    return (struct file_stamp){info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_size,
                               info.st_ino};
}

static bool is_same(struct file_stamp a, struct file_stamp b)
{
    return a.seconds == b.seconds && a.nanoseconds == b.nanoseconds && a.size == b.size &&
           a.inode == b.inode;
}

bool resolve_files_refresh(struct resolve_files *files, uint64_t now_ms)
{
    static void (*const readers[RESOLVE_FILES])(struct resolve_files *) = {
        [RESOLV_CONF] = read_resolv_conf,
        [HOSTS] = read_hosts,
        [NSSWITCH_CONF] = read_nsswitch_conf,
    };
    bool is_any = false;
    if (files->is_read && now_ms - files->looked_ms < LOOK_EVERY_MS)
        return false;
    for (int i = 0; i < RESOLVE_FILES; i++) {
        struct file_stamp stamp = stamp_of(files->paths[i]);
        if (files->is_read && is_same(stamp, files->stamps[i]))
            continue;
        files->stamps[i] = stamp;
        readers[i](files);
        is_any = true;
    }
    files->looked_ms = now_ms;
    files->is_read = true;
    return is_any;
}
