/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay FILE...: each input once through the target it is linked with, without libFuzzer. TAP: one
 * claim for each file; what aborts or is found by a sanitizer ends it there.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int main(int argc, char **argv)
{
	static uint8_t data[MOST];

	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		size_t n;

		if (!f) {
			perror(argv[i]);
			return 1;
		}
		n = fread(data, 1, sizeof(data), f);
		fclose(f);
		LLVMFuzzerTestOneInput(data, n);
		printf("ok %d - %s\n", i, argv[i]);
		fflush(stdout);
	}
	printf("1..%d\n", argc - 1);
	return argc < 2;
}
