// Gradient of a matrix whose rows are added up as sparse rows weigh them: of each of its rows the weighted sum of the
// gradients of those sums that it went into. Of several leaves of a batch each is summed up by itself, and the sums in
// a binary tree: the bits of as many calls and additions, of which only the last goes by way of memory.

#include <algorithm>
#include <cstdint>
#include <omp.h>
#include <vector>

namespace {

constexpr int LEVELS = 24;  // of the tree, at most

struct Entry {
    int32_t row;
    float value;
};

// Entries by column, each column's in the order in which they came.
struct ByColumn {
    std::vector<int64_t> starts;
    std::vector<Entry> entries;

    ByColumn(const int64_t* columns, const int64_t* rows, const float* values, int64_t count, int64_t n_columns)
        : starts(n_columns + 1), entries(count) {
        for (int64_t i = 0; i < count; ++i) ++starts[columns[i] + 1];
        for (int64_t c = 0; c < n_columns; ++c) starts[c + 1] += starts[c];
        std::vector<int64_t> next(starts.begin(), starts.end() - 1);
        for (int64_t i = 0; i < count; ++i) entries[next[columns[i]]++] = {static_cast<int32_t>(rows[i]), values[i]};
    }
};

void scale(float* __restrict sums, const float* __restrict pulled, float value, int64_t width) {
#pragma omp simd
    for (int64_t k = 0; k < width; ++k) sums[k] = 0.0f + value * pulled[k];  // no sum begins at -0
}

void add_scaled(float* __restrict sums, const float* __restrict pulled, float value, int64_t width) {
#pragma omp simd
    for (int64_t k = 0; k < width; ++k) sums[k] += value * pulled[k];
}

void add(float* __restrict sums, const float* __restrict more, int64_t width) {
#pragma omp simd
    for (int64_t k = 0; k < width; ++k) sums[k] += more[k];
}

void add_zeros(float* __restrict sums, const float* __restrict from, int64_t width) {
#pragma omp simd
    for (int64_t k = 0; k < width; ++k) sums[k] = from[k] + 0.0f;
}

// Sums of subtrees whose siblings are still to come, the largest first; one without entries is not written.
class Pending {
  public:
    explicit Pending(int64_t width) : width_(width), more_((LEVELS - 1) * width) {}

    // Begin with the place of the largest.
    void begin(float* first) { first_ = first, height_ = 0; }

    // Where the next leaf's sums go.
    float* next() { return place(height_); }

    // The leaf number `leaf` is summed up.
    void take(int64_t leaf, bool is_there) {
        there_[height_++] = is_there;
        for (; leaf & 1; leaf >>= 1) {
            const int left = height_ - 2, right = height_ - 1;
            if (there_[left] && there_[right])
                add(place(left), place(right), width_);
            else if (there_[right])
                add_zeros(place(left), place(right), width_);
            else if (there_[left])
                add_zeros_to(place(left));
            there_[left] |= there_[right];
            --height_;
        }
    }

    bool is_there() const { return there_[0]; }

  private:
    float* place(int level) { return level ? more_.data() + (level - 1) * width_ : first_; }

    void add_zeros_to(float* sums) {
#pragma omp simd
        for (int64_t k = 0; k < width_; ++k) sums[k] += 0.0f;
    }

    int64_t width_;
    std::vector<float> more_;
    float* first_ = nullptr;
    bool there_[LEVELS] = {};
    int height_ = 0;
};

}  // namespace

// `rows` ascend, so that leaf l has those from borders[l] to before borders[l + 1]; as many leaves as a power of two.
extern "C" void recsys_row_gradient(const float* upstream, int64_t width, const int64_t* columns, const int64_t* rows,
                                    const float* values, int64_t count, const int64_t* borders, int64_t leaves,
                                    float* gradient, int64_t n_columns, int threads) {
    const ByColumn by_column(columns, rows, values, count, n_columns);
#pragma omp parallel num_threads(threads)
    {
        Pending pending(width);
#pragma omp for schedule(static)
        for (int64_t column = 0; column < n_columns; ++column) {
            const Entry* at = by_column.entries.data() + by_column.starts[column];
            const Entry* const end = by_column.entries.data() + by_column.starts[column + 1];
            float* const own = gradient + column * width;
            pending.begin(own);
            for (int64_t leaf = 0; leaf < leaves; ++leaf) {
                float* const sums = pending.next();
                const Entry* const first = at;
                for (; at < end && at->row < borders[leaf + 1]; ++at) {
                    const float* pulled = upstream + at->row * width;
                    if (at == first)
                        scale(sums, pulled, at->value, width);
                    else
                        add_scaled(sums, pulled, at->value, width);
                }
                pending.take(leaf, at > first);
            }
            if (!pending.is_there()) std::fill(own, own + width, 0.0f);
        }
    }
}

// Inner products of rows of two matrices, one an entry.
extern "C" void recsys_row_products(const float* left, const float* right, int64_t width, const int64_t* lefts,
                                    const int64_t* rights, int64_t count, float* products, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; ++i) {
        const float *a = left + lefts[i] * width, *b = right + rights[i] * width;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t k = 0; k < width; ++k) sum += a[k] * b[k];
        products[i] = sum;
    }
}
