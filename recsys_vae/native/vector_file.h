// Vectors in a file, read when their scores are wanted: memory holds those of a moment only, not what was ever looked at.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

#ifdef __linux__
#include <fcntl.h>
#include <sys/uio.h>
#endif

#include "tiles.h"

// Places of float32 vectors of width d, place after place from a byte on.
struct VectorFile {
    int descriptor;
    int64_t start, d;
    const float* kept = nullptr;  // the same in memory, where they are there: then the file is not read
};

// Reads vectors in runs: those near each other by one call. Runs that are not in memory yet are
// asked for first, so that the disk fetches them side by side.
class VectorReader {
    static constexpr int64_t APART = 8;     // places between two vectors that are read along rather than by a call of their own
    static constexpr int64_t LONGEST = 256;  // places a run

    struct Run {
        size_t first, end;      // of what is wanted
        int64_t place, places;  // the first, and how many are read
    };

    const VectorFile file;
    Buffer<float> room;
    std::vector<Run> late;

  public:
    explicit VectorReader(const VectorFile& file) : file(file), room(buffer<float>(LONGEST * file.d)) {}

    // Reads what the places, ascending, with repetitions, are of: place_of says which the i-th of `count` is. Calls
    // use(first, end, vector_of) for every run of them; returns false where the file cannot be read.
    template <class PlaceOf, class Use>
    bool read(size_t count, PlaceOf&& place_of, Use&& use) {
        if (file.kept) {
            use(size_t{0}, count, [&](size_t i) { return file.kept + place_of(i) * file.d; });
            return true;
        }
        late.clear();
        for (size_t first = 0, end; first < count; first = end) {
            const int64_t at = place_of(first);
            int64_t last = at;
            for (end = first + 1; end < count; ++end) {
                const int64_t next = place_of(end);
                if (next - last > APART || next - at >= LONGEST) break;
                last = next;
            }
            const Run run{first, end, at, last + 1 - at};
            if (is_there(run)) hand_on(run, place_of, use);
            else late.push_back(run);
        }
        return std::all_of(late.begin(), late.end(), [&](const Run& run) {
            if (!fetch(run)) return false;
            hand_on(run, place_of, use);
            return true;
        });
    }

  private:
    int64_t each() const { return file.d * sizeof(float); }

    // Reads a run that is in memory, or has the system begin to fetch it.
    bool is_there(const Run& run) {
#ifdef RWF_NOWAIT
        const int64_t at = file.start + run.place * each(), size = run.places * each();
        const iovec into{room.get(), static_cast<size_t>(size)};
        if (preadv2(file.descriptor, &into, 1, at, RWF_NOWAIT) == size) return true;
        posix_fadvise(file.descriptor, at, size, POSIX_FADV_WILLNEED);
#endif
        return false;
    }
    bool fetch(const Run& run) {
        int64_t at = file.start + run.place * each(), left = run.places * each();
        for (char* into = reinterpret_cast<char*>(room.get()); left;) {
            const ssize_t got = pread(file.descriptor, into, left, at);
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) return false;
            into += got, at += got, left -= got;
        }
        return true;
    }
    template <class PlaceOf, class Use>
    void hand_on(const Run& run, PlaceOf&& place_of, Use&& use) {
        use(run.first, run.end, [&](size_t i) { return room.get() + (place_of(i) - run.place) * file.d; });
    }
};
