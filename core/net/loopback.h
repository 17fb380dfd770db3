/*
 * loopback.h - connections that stay within the machine.
 */
#pragma once

#include <sys/socket.h>

/*
 * When `address` is of the loopback interface, the TCP socket `fd` does without a congestion
 * control that models the path and paces what is sent (BBR, tcp(7) TCP_CONGESTION): nothing is
 * congested there, and it costs a tenth of a short exchange. A kernel without the plain one keeps
 * its own. What a listening socket has, its connections inherit.
 */
void loopback_forgo_pacing(int fd, const struct sockaddr *address);
