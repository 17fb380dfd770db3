/*
 * passed_fd.h - the descriptor that came along with a message of recvmsg(2).
 */
#pragma once

struct msghdr;

/* The first one, now the caller's, or -1. The others are closed: space for one, padded, has room
 * for two, and who sends decides how many there are. */
int passed_fd_take(struct msghdr *message);
