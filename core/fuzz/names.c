/*
 * What tells of names: resolv.conf, hosts, nsswitch.conf and answers of name servers. Nothing but
 * what the limits allow comes of any bytes, and the same bytes give the same again.
 *
 * The first byte of an input says which of the four the rest is.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "net/resolve_files.h"
#include "net/resolve_message.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MESSAGE = RESOLVE_FILES, FEEDS, INPUT_MAX = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_servers(const struct resolve_files *files)
{
    ENSURE(files->nservers >= 1 && files->nservers <= RESOLVE_SERVERS_MAX);
    for (uint32_t i = 0; i < files->nservers; i++) {
        char text[ADDRESS_TEXT_BYTES];
        struct address again;
        address_text(&files->servers[i], text);
        ENSURE(resolve_parse_server(str_of(text), &again));
        ENSURE(address_is_same_host(&files->servers[i], &again));
    }
}

static void check_numbers(const struct resolve_files *files)
{
    ENSURE(files->ndomains <= RESOLVE_DOMAINS_MAX && files->ndots <= 15);
    ENSURE(files->attempts >= 1 && files->attempts <= 5);
    ENSURE(files->timeout_ms >= 1000 && files->timeout_ms <= 30000);
    for (uint32_t i = 0; i < files->ndomains; i++)
        for (const char *at = files->domains[i]; *at != '\0'; at++)
            ENSURE(!isspace((unsigned char)*at) && !isupper((unsigned char)*at));
}

static void check_hosts(const struct resolve_files *files)
{
    for (uint32_t i = 0; i < files->nhosts; i++) {
        struct address addresses[3];
        const struct host_line *line = &files->hosts[i];
        ENSURE(i == 0 || strcmp(line[-1].name, line->name) <= 0);
        ENSURE(resolve_files_host(files, line->name, addresses, 3) <= 3);
    }
}

static void read_file(int which, const uint8_t *data, size_t len)
{
    struct resolve_files files;
    char path[64];
    int fd = memfd_create("names", 0);
    ENSURE(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    resolve_files_init(&files);
    for (int i = 0; i < RESOLVE_FILES; i++) {
        snprintf(path, sizeof(path), i == which ? "/proc/self/fd/%d" : "/nowhere/%d", fd);
        free(files.paths[i]);
        files.paths[i] = mem_copy_text(path);
    }
    ENSURE(resolve_files_refresh(&files, 1000));
    ENSURE(!resolve_files_refresh(&files, 1001));
    check_servers(&files);
    check_numbers(&files);
    check_hosts(&files);
    resolve_files_deinit(&files);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 1 || len > INPUT_MAX)
        return 0;
    int which = data[0] % FEEDS;
    if (which != MESSAGE) {
        read_file(which, data + 1, len - 1);
        return 0;
    }
    unsigned char *message = mem_grow(NULL, len); /* of its own: a sanitizer sees its end */
    memcpy(message, data + 1, len - 1);
    message = mem_grow(message, len - 1 != 0 ? len - 1 : 1);
    uint32_t ttl = message_negative_ttl(message, len - 1);
    ENSURE(ttl == message_negative_ttl(message, len - 1));
    free(message);
    return 0;
}
