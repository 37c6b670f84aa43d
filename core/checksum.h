/*
 * checksum: those of the format: CRC-32C of headers, and xxh32, with which LZ4 guards its frames.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Goes on from @crc, which is 0 at the beginning. */
uint32_t checksum_crc32c(uint32_t crc, const void *bytes, size_t size);

/* With seed 0, as LZ4 frames have it. */
uint32_t checksum_xxh32(const void *bytes, size_t size);
