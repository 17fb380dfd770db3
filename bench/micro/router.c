/*
 * router.c - what one router_match costs with 10, 100 and 10,000 routes: it should be the same.
 *
 * cmake --build build --target bench_router && build/bench_router
 */
#include "http/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 3000000, REPEATS = 5 };

static double cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static struct router *build(int count)
{
    static const char *const patterns[] = {
        "/", "/api/v1/status", "/api/v1/users/{id:int}/posts/{post}", "/files/{path...}"};
    struct router *router = router_new();
    for (int i = 0; i < count; i++) {
        char text[128];
        snprintf(text, sizeof(text), "/app%d/resource%d/%s", i % 100, i, i % 2 ? "{id}" : "list");
        if (router_add(router, ROUTER_GET, str_of(i < 4 ? patterns[i] : text), i, NULL) != 0)
            abort();
    }
    return router;
}

static double measure(const struct router *router, struct str path, int expected)
{
    double best = 1e9;
    struct route_match match;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = cpu_ns();
        for (int i = 0; i < ROUNDS; i++) {
            router_match(router, ROUTER_GET, path, &match);
            __asm__ volatile("" ::: "memory");
        }
        double each = (cpu_ns() - start) / ROUNDS;
        best = each < best ? each : best;
    }
    if (match.target != expected)
        abort();
    return best;
}

static void print_line(const char *label, const char *command)
{
    char line[256] = "?\n";
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c): the commands stand below */
    if (pipe != NULL && fgets(line, sizeof(line), pipe) == NULL)
        line[0] = '\n';
    if (pipe != NULL)
        pclose(pipe);
    printf("%s%s", label, line);
}

int main(void)
{
    static const struct {
        const char *path;
        int target;
    } cases[] = {{"/", 0},
                 {"/api/v1/status", 1},
                 {"/api/v1/users/12345/posts/hello-world", 2},
                 {"/files/css/site/main.css", 3},
                 {"/api/v1/%75sers/12345/posts/a%20b", 2},
                 {"/no/such/page", -1}};
    struct router *routers[] = {build(10), build(100), build(10000)};
    print_line("machine: ", "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2");
    print_line("commit:  ", "git rev-parse --short HEAD 2>/dev/null");
    printf("%-40s %10s %10s %10s\n", "ns a match, by number of routes", "10", "100", "10000");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        printf("%-40s", cases[i].path);
        for (int j = 0; j < 3; j++)
            printf(" %10.1f", measure(routers[j], str_of(cases[i].path), cases[i].target));
        printf("\n");
    }
    for (int j = 0; j < 3; j++)
        router_free(routers[j]);
}
