/*
 * Gives each file named on the command line to a harness, where there is no libFuzzer to do so: a
 * corpus replayed, under any compiler and sanitizer.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int main(int argc, char **argv)
{
    static uint8_t bytes[1 << 20];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        size_t len = fread(bytes, 1, sizeof(bytes), file);
        fclose(file);
        fprintf(stderr, "%s\n", argv[i]); /* the last one named is the one that failed */
        LLVMFuzzerTestOneInput(bytes, len);
    }
    printf("%d inputs replayed\n", argc - 1);
    return EXIT_SUCCESS;
}
