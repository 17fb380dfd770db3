/*
 * standard_output.h - whether what a command has printed has arrived.
 */
#pragma once

/* For atexit(3), so that it sees what a script leaves by os.exit as well. Ends the process with 1
 * when something could not be written to standard output, and says so; without a word when its
 * reader has gone, as `head` does. */
void standard_output_settle(void);
