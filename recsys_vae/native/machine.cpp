// What the loops find: the processor's instructions, and the OpenMP runtime.
#include <cstdint>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

struct Answer {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
    Answer(uint32_t leaf, uint32_t part) {  // zeros where the processor has no such leaf
        if (!__get_cpuid_count(leaf, part, &eax, &ebx, &ecx, &edx)) eax = ebx = ecx = edx = 0;
    }
};

// Registers that the system saves between processes, without which instructions are no use: 2 is SSE, 4 AVX, 0xe0 AVX-512,
// 0x60000 the tiles of AMX.
inline uint32_t saved_state() {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

// Linux gives tiles to a process that has asked for them (arch_prctl, ARCH_REQ_XCOMP_PERM), and to what it forks.
inline bool is_given_tiles() {
#ifdef __linux__
    constexpr long ASK = 0x1023, TILES = 18;
    return syscall(SYS_arch_prctl, ASK, TILES) == 0;
#else
    return false;
#endif
}

std::string features() {
    std::string found;
    const auto note = [&](bool has, const char* name) {
        if (has) found.append(found.empty() ? "" : " ").append(name);
    };
    const auto bit = [](uint32_t bits, int at) { return (bits >> at & 1) != 0; };
    const Answer one(1, 0), seven(7, 0), more(7, 1), extended(0x80000001, 0);
    const uint32_t state = bit(one.ecx, 27) ? saved_state() : 0;
    const bool avx = (state & 0x6) == 0x6 && bit(one.ecx, 28), wide = avx && (state & 0xe0) == 0xe0;
    note(bit(one.ecx, 22), "movbe");
    note(bit(one.ecx, 23), "popcnt");
    note(bit(extended.ecx, 5), "lzcnt");
    note(bit(seven.ebx, 3), "bmi");
    note(bit(seven.ebx, 8), "bmi2");
    note(avx && bit(one.ecx, 12), "fma");
    note(avx && bit(one.ecx, 29), "f16c");
    note(avx && bit(seven.ebx, 5), "avx2");
    note(avx && bit(more.eax, 4), "avxvnni");
    note(wide && bit(seven.ebx, 16), "avx512f");
    note(wide && bit(seven.ebx, 17), "avx512dq");
    note(wide && bit(seven.ebx, 28), "avx512cd");
    note(wide && bit(seven.ebx, 30), "avx512bw");
    note(wide && bit(seven.ebx, 31), "avx512vl");
    note(wide && bit(seven.ecx, 11), "avx512vnni");
    note(wide && bit(more.eax, 5), "avx512bf16");
    const bool tiles = (state & 0x60000) == 0x60000 && bit(seven.edx, 24) && is_given_tiles();
    note(tiles && bit(seven.edx, 22), "amxbf16");
    note(tiles && bit(seven.edx, 25), "amxint8");
    return found;
}

}  // namespace
#else
namespace {
std::string features() { return ""; }
}  // namespace
#endif

// Names of instructions that can be used here, as build.py knows them, with spaces between.
extern "C" const char* recsys_processor() {
    static const std::string found = features();
    return found.c_str();
}

extern "C" void GOMP_parallel(void (*)(void*), void*, unsigned, unsigned);

// An address in the runtime that the loops' threads belong to.
extern "C" const void* recsys_openmp() { return reinterpret_cast<const void*>(&GOMP_parallel); }
