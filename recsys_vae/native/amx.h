// Tiles of AMX: products of bfloat16 numbers, summed in float32, 32 rows by 32 columns at a time.
//
// A tile is a kilobyte, 16 lines of 64 bytes. Those of a product's left side hold 16 rows with 32 numbers of the dimension
// summed over; those of its right side 16 pairs of that dimension, each of 16 columns side by side; sums 16 rows and columns.
// Both sides lie packed in strips: two tiles side by side, 32 rows or columns, for each step of 32 in the dimension summed
// over. Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
#pragma once

#include <cstdint>
#include <immintrin.h>

#include "tiles.h"

constexpr int64_t STRIP = 32;               // rows or columns of a strip, and what a step sums over
constexpr int64_t TILE = 512;               // bfloat16 numbers a tile
constexpr int64_t TILE_SUMS = 256;          // sums a tile
constexpr int64_t BLOCK_SUMS = 4 * TILE_SUMS;

// Lets the thread use its tiles as long as this lives.
class TilesInUse {
  public:
    TilesInUse() {
        struct alignas(64) {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {};
            uint8_t rows[16] = {};
        } shape;
        for (int tile = 0; tile < 8; ++tile) shape.bytes[tile] = 64, shape.rows[tile] = 16;
        asm volatile("" ::"r"(&shape) : "memory");
        _tile_loadconfig(&shape);
    }
    ~TilesInUse() { _tile_release(); }
    TilesInUse(const TilesInUse&) = delete;
};

// Strips of a matrix of bfloat16 numbers, `steps` long.
struct Strips {
    int64_t steps;
    Buffer<uint16_t> data;

    Strips(int64_t strips, int64_t steps) : steps(steps), data(buffer<uint16_t>(strips * steps * 2 * TILE)) {}
    uint16_t* strip(int64_t number) const { return data.get() + number * steps * 2 * TILE; }
    // Line of a left side's row with the 32 numbers of a step.
    uint16_t* line(int64_t row, int64_t step) const {
        return strip(row / STRIP) + step * 2 * TILE + row % STRIP * STRIP;
    }
    // Line of a right side's pair with 16 columns.
    uint32_t* line_of_pair(int64_t pair, int64_t column) const {
        return reinterpret_cast<uint32_t*>(strip(column / STRIP) + (pair / 16 * 2 + column % STRIP / 16) * TILE) + pair % 16 * 16;
    }
};

inline void clear_sums() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

// Sums of a block, a tile after the other: columns before rows.
inline void load_sums(const float* from) {
    asm volatile("" ::: "memory");  // the intrinsics do not say that they read
    _tile_loadd(0, from, 64);
    _tile_loadd(1, from + TILE_SUMS, 64);
    _tile_loadd(2, from + 2 * TILE_SUMS, 64);
    _tile_loadd(3, from + 3 * TILE_SUMS, 64);
}
inline void store_sums(float* to) {
    _tile_stored(0, to, 64);
    _tile_stored(1, to + TILE_SUMS, 64);
    _tile_stored(2, to + 2 * TILE_SUMS, 64);
    _tile_stored(3, to + 3 * TILE_SUMS, 64);
}
// The same as rows, `width` numbers from one to the next.
inline void store_rows(float* to, int64_t width) {
    _tile_stored(0, to, width * 4);
    _tile_stored(1, to + 16, width * 4);
    _tile_stored(2, to + 16 * width, width * 4);
    _tile_stored(3, to + 16 * width + 16, width * 4);
}

// Adds the product of two strips to the sums; `meanwhile` is called at each step, for work that other units can do.
template <class F>
inline void multiply_strips(const uint16_t* left, const uint16_t* right, int64_t steps, F&& meanwhile) {
    asm volatile("" ::: "memory");
    for (int64_t step = 0; step < steps; ++step, left += 2 * TILE, right += 2 * TILE) {
        _tile_loadd(4, left, 64);
        _tile_loadd(6, right, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, right + TILE, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, left + TILE, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        meanwhile();
    }
}
inline void multiply_strips(const uint16_t* left, const uint16_t* right, int64_t steps) {
    multiply_strips(left, right, steps, [] {});
}
