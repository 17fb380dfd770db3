/*
 * uv_fixed.c - libuv and llhttp with a constant answer: the limit for everything built on them.
 *
 *     limit-uv PORT
 */
#include "answer.h"
#include "uv_server.h"

#include <stdio.h>
#include <stdlib.h>

static void answer(struct conn *conn)
{
    static const char ANSWER[] = ANSWER_HELLO;
    conn_append(conn, ANSWER, sizeof(ANSWER) - 1);
}

int main(int argc, char **argv)
{
    struct server_settings settings = {.port = argc == 2 ? atoi(argv[1]) : 0, .answer = answer};
    int error = server_run(uv_default_loop(), &settings);
    fprintf(stderr, "usage: limit-uv PORT: %s\n", uv_strerror(error));
    return 1;
}
