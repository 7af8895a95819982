// The largest entries of each row of X^T X p(X^T X) - V diag(t) V^T, which is symmetric: an entry is made once, for two rows.
//
// Items come in an order whose first ones are a fair sample. What these have in common with an item tells about how large its
// largest entries are, its floor: what is below is passed by. Products with V are first made in half precision where the
// processor has it; an entry that may be above a floor, by a bound of the error, is made anew in single precision.
#include <omp.h>

#include <cmath>

#include "best.h"
#include "leading.h"

namespace {

constexpr int GROUP = 8;                              // panels of items that are compared with the others at once
constexpr int64_t STRIP = 2048, PART = 256;           // items that these are compared with between looks at the floors
constexpr float SURE = 1 - 1e-6f;                     // of a limit, for the rounding of what it is made of

// The rows that are kept, by positions in the order; `room` entries each, more than `kept`, at the place of their item.
struct Rows {
    const int64_t *order, n, kept, room;
    int32_t* columns;
    float* values;
    std::vector<int64_t> count;
    std::vector<float> floor;

    Rows(const int64_t* order, int64_t n, int64_t kept, int64_t room, int32_t* columns, float* values)
        : order(order), n(n), kept(kept), room(room), columns(columns), values(values), count(n), floor(n) {}

    void put(int64_t row, int64_t column, float value, std::vector<Key>& keys) {
        if (value == 0 || std::fabs(value) < floor[row]) return;
        const int64_t at = order[row] * room + count[row]++;
        columns[at] = static_cast<int32_t>(column);
        values[at] = value;
        if (count[row] == room) shrink(row, kept, keys);
    }

    // Leaves the `most` largest, of equals those of the first columns; the least of them is the floor.
    void shrink(int64_t row, int64_t most, std::vector<Key>& keys) {
        if (count[row] <= most) return;
        int32_t* mine = columns + order[row] * room;
        float* sizes = values + order[row] * room;
        const auto key = [&](int64_t i) { return Key(std::fabs(sizes[i]), static_cast<uint32_t>(mine[i])); };
        keys.clear();
        for (int64_t i = 0; i < count[row]; ++i) keys.push_back(key(i));
        std::nth_element(keys.begin(), keys.begin() + most - 1, keys.end(), std::greater<>());
        const Key least = keys[most - 1];
        int64_t left = 0;
        for (int64_t i = 0; i < count[row]; ++i) {
            mine[left] = mine[i];
            sizes[left] = sizes[i];
            left += !(least > key(i));
        }
        count[row] = left;
        floor[row] = least.score();
    }

    // Whether the floor was too high, by chance.
    bool lacks(int64_t row) const { return floor[row] > 0 && count[row] < kept; }

    // Moves the rows together, `kept` entries each, by columns: what is missing is 0.
    void finish() {
        std::vector<int64_t> position(n);
        for (int64_t row = 0; row < n; ++row) position[order[row]] = row;
        std::vector<uint64_t> there(n / 64 + 1);
        std::vector<float> dense(n);
        std::vector<Key> keys;
        for (int64_t item = 0; item < n; ++item) {
            const int64_t row = position[item];
            shrink(row, kept, keys);
            for (int64_t i = 0; i < count[row]; ++i) {
                const int32_t column = columns[item * room + i];
                there[column / 64] |= uint64_t{1} << column % 64;
                dense[column] = values[item * room + i];
            }
            for (int64_t column = 0; count[row] < kept; ++column) {
                const uint64_t bit = uint64_t{1} << column % 64;
                count[row] += !(there[column / 64] & bit);
                there[column / 64] |= bit;
            }
            int64_t at = item * kept;
            for (size_t word = 0; word < there.size(); ++word) {
                for (uint64_t bits = there[word]; bits; bits &= bits - 1) {
                    const auto column = static_cast<int32_t>(word * 64 + std::countr_zero(bits));
                    columns[at] = column;
                    values[at++] = dense[column];
                    dense[column] = 0;
                }
                there[word] = 0;
            }
        }
    }
};

struct Search {
    const Sparse &x, &transposed;
    const float *scale, *weights;
    const int degree;
    const float* lean;  // factors of entries, by positions
    const Leading& leading;
    Rows& rows;
    const int threads;
    const int64_t n;

    struct Found {
        int32_t lane, position;
        float value;
    };

    // What is known of the items of a group.
    std::vector<int64_t> positions;
    Buffer<float> polynomials = buffer<float>(GROUP * n * WIDE);
    Buffer<Number> panels = buffer<Number>(GROUP * WIDE * leading.depth);
    Buffer<float> factors = buffer<float>(GROUP * WIDE * leading.rank);
    Buffer<float> sizes = buffer<float>(GROUP * WIDE), errors = buffer<float>(GROUP * WIDE);
    Buffer<float> floors = buffer<float>(GROUP * WIDE), inverse = buffer<float>(GROUP * WIDE);

    int64_t count_panels() const { return (static_cast<int64_t>(positions.size()) + WIDE - 1) / WIDE; }

    // Compares the items at `positions` with those from `first` on. `mirrored`: the others take note too, and of a pair of
    // items in the group the later one leaves it to the other.
    void group(std::vector<Room>& rooms, int64_t first, bool mirrored) {
        make_panels(rooms, first);
        std::vector<std::vector<Found>> found(STRIP / PART + 1);
        std::vector<Key> keys;
        for (int64_t begin = first; begin < n; begin += STRIP) {
            for (size_t lane = 0; lane < positions.size(); ++lane)
                floors[lane] = rows.floor[positions[lane]] * lean[positions[lane]];
            const int64_t end = std::min(begin + STRIP, n), parts = (end - begin + PART - 1) / PART;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
            for (int64_t part = 0; part < parts; ++part) {
                const int64_t from = begin + part * PART;
                compare(from, std::min(from + PART, end), mirrored, found[part]);
            }
            for (auto& list : found) {
                for (const Found& f : list) rows.put(positions[f.lane], rows.order[f.position], f.value, keys);
                list.clear();
            }
        }
    }

private:
    void make_panels(std::vector<Room>& rooms, int64_t first) {
        const int64_t count = static_cast<int64_t>(positions.size());
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
        for (int64_t panel = 0; panel < count_panels(); ++panel) {
            Room& room = rooms[omp_get_thread_num()];
            int64_t items[WIDE];
            for (int lane = 0; lane < WIDE; ++lane) {
                const int64_t at = panel * WIDE + lane;
                items[lane] = at < count ? positions[at] : -1;
                const int64_t like = at < count ? positions[at] : positions[0];
                leading.pack(like, lane, panels.get() + panel * WIDE * leading.depth, factors.get() + at * leading.rank,
                             sizes[at], errors[at]);
                inverse[at] = 1 / lean[like];
            }
            room.columns(items, scale);
            room.polynomial(weights, degree, polynomials.get() + panel * n * WIDE, first);
        }
    }

    void compare(int64_t begin, int64_t end, bool mirrored, std::vector<Found>& found) {
        std::vector<Key> keys;
        for (int64_t at = begin; at < end; at += TALL) {
            leading.prefetch(at, std::min(at + TALL, end));
            for (int64_t panel = 0; panel < count_panels(); ++panel) {
                vec sums[TALL][PARTS];
                leading.multiply(panels.get() + panel * WIDE * leading.depth, at, sums);
                for (int64_t position = at; position < std::min(at + TALL, end); ++position)
                    judge(panel, position, sums[position - at], mirrored, found, keys);
            }
        }
    }

    void judge(int64_t panel, int64_t position, const vec (&sums)[PARTS], bool mirrored, std::vector<Found>& found,
               std::vector<Key>& keys) {
        const float* entries = polynomials.get() + (panel * n + position) * WIDE;
        const float rescale = 1 / scale[position], own = SURE / lean[position];
        const float others = mirrored ? rows.floor[position] * lean[position] * SURE : INFINITY;
        const float size = leading.size[position], error = leading.error[position] + leading.rounding * size;
        const int64_t first = panel * WIDE;
        float about[WIDE], hit[WIDE];
        std::memcpy(about, sums, sizeof about);
        for (int lane = 0; lane < WIDE; ++lane) {
            const int64_t at = first + lane;
            const float limit = std::min(floors[at] * own, others * inverse[at]) - errors[at] * size - sizes[at] * error;
            hit[lane] = std::fabs(entries[lane] * rescale - about[lane]) >= limit;
        }
        for (uint32_t bits = set_lanes(hit); bits; bits &= bits - 1) {
            const int lane = std::countr_zero(bits);
            const int64_t at = first + lane;
            if (at >= static_cast<int64_t>(positions.size()) || (mirrored && position < positions[at])) continue;
            const float value = entries[lane] * rescale - leading.product(factors.get() + at * leading.rank, position);
            const float mine = value * lean[position] * inverse[at];
            if (std::fabs(mine) >= rows.floor[positions[at]])
                found.push_back({static_cast<int32_t>(at), static_cast<int32_t>(position), mine});
            if (mirrored && position != positions[at])
                rows.put(position, rows.order[positions[at]], value * lean[positions[at]] / lean[position], keys);
        }
    }
};

// The floors of the rows after the first `seen`, which are a sample: so that hardly any row will keep too few.
void estimate(Rows& rows, int64_t seen, int threads) {
    const double expected = static_cast<double>(seen) * rows.kept / rows.n;
    const auto most = static_cast<int64_t>(expected + 3 * std::sqrt(expected) + 3);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        std::vector<Key> keys;
#pragma omp for schedule(static)
        for (int64_t row = seen; row < rows.n; ++row) rows.shrink(row, most, keys);
    }
}

}  // namespace

// Entries (items, kept) of the largest magnitude in each row of diag(1 / lean) (P sum_k weights[k] P^k - V diag(taken) V^T)
// diag(lean), P = X^T X, X as for recsys_gram_polynomial: columns, ascending, and values; of equals the first ones. Rows of
// B's transpose are in `order`, the first `sampled` of them a fair sample of all; V (items, rank) and `lean` are not.
// Columns and values have `room` places an item, more than `kept`; the result is what they begin with.
extern "C" void recsys_graph_neighbours(const int64_t* x_starts, const int32_t* x_columns, const float* x_values,
                                        const float* x_factors, int64_t users, const int64_t* t_starts,
                                        const int32_t* t_columns, const float* t_values, const float* t_factors,
                                        int64_t items, const int64_t* order, const float* scale, const float* weights,
                                        int degree, const float* vectors, int64_t rank, const float* taken,
                                        const float* lean, int64_t sampled, int64_t kept, int64_t room, int32_t* columns,
                                        float* values, int threads) {
    const Sparse x{x_starts, x_columns, x_values, x_factors, users};
    const Sparse transposed{t_starts, t_columns, t_values, t_factors, items};
    const Leading leading(vectors, order, items, rank, taken);
    Rows rows(order, items, kept, room, columns, values);
    std::vector<float> leaning(items);
    for (int64_t row = 0; row < items; ++row) leaning[row] = lean[order[row]];
    std::vector<Room> rooms;
    for (int i = 0; i < threads; ++i) rooms.emplace_back(x, transposed);
    Search search{x, transposed, scale, weights, degree, leaning.data(), leading, rows, threads, items};
    int64_t next_look = GROUP * WIDE;
    for (int64_t first = 0; first < items;) {
        search.positions.clear();
        for (int64_t row = first; row < std::min<int64_t>(first + GROUP * WIDE, items); ++row)
            search.positions.push_back(row);
        search.group(rooms, first, true);
        first += GROUP * WIDE;
        if (first == sampled || (first < sampled && first == next_look)) {
            estimate(rows, first, threads);
            next_look = 2 * first;
        }
    }
    search.positions.clear();
    for (int64_t row = 0; row < items; ++row) {
        if (rows.lacks(row)) {
            rows.count[row] = 0;
            rows.floor[row] = 0;
            search.positions.push_back(row);
        }
        if (search.positions.size() == GROUP * WIDE || (row + 1 == items && !search.positions.empty())) {
            search.group(rooms, 0, false);
            search.positions.clear();
        }
    }
    rows.finish();
}
