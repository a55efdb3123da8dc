// The threads of one call: those of the OpenMP runtime that PyTorch runs on, so that no second pool fights it for cores.
//
// Its entry points come as addresses from Python (`threads.py`): linking an OpenMP of our own could load another copy.
#pragma once
#include <immintrin.h>
#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace attest {

struct OpenMp {
    void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;  // GOMP_parallel
    int (*thread)() = nullptr;                                              // omp_get_thread_num
    int (*threads)() = nullptr;                                             // omp_get_num_threads
};
inline OpenMp openmp;

// Shared by the threads of one call. Tasks of a phase are handed out one by one: a thread that the machine holds up
// takes fewer of them.
class Team {
   public:
    int size = 1;

    int64_t next() { return task_.fetch_add(1, std::memory_order_relaxed); }

    // Returns when all threads are here; the tasks begin again at 0.
    void barrier() {
        if (size == 1) {
            task_.store(0, std::memory_order_relaxed);
            return;
        }
        unsigned turn = turn_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
            arrived_.store(0, std::memory_order_relaxed);
            task_.store(0, std::memory_order_relaxed);
            turn_.store(turn + 1, std::memory_order_release);
            return;
        }
        // The others need microseconds, unless the machine runs something else in their place: then give way to it.
        for (int spins = 0; turn_.load(std::memory_order_acquire) == turn; ++spins) {
            if (spins < 4000)
                _mm_pause();
            else
                sched_yield();
        }
    }

   private:
    alignas(64) std::atomic<int64_t> task_{0};
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> turn_{0};
};

// Calls work(team, thread) in up to `threads` threads.
template <class Work>
void run(int threads, Work&& work) {
    Team team;
    if (threads <= 1 || openmp.parallel == nullptr) {
        work(team, 0);
        return;
    }
    struct Call {
        Team* team;
        Work* work;
        std::atomic<int> ready{0};
    } call{&team, &work};
    openmp.parallel(
        [](void* given) {
            Call* mine = static_cast<Call*>(given);
            int number = openmp.thread();
            // The runtime may give fewer threads than asked for; the first says how many there are.
            if (number == 0) {
                mine->team->size = openmp.threads();
                mine->ready.store(1, std::memory_order_release);
            } else {
                while (!mine->ready.load(std::memory_order_acquire)) _mm_pause();
            }
            (*mine->work)(*mine->team, number);
        },
        &call, static_cast<unsigned>(threads), 0);
}

// Memory of a calling thread, kept from call to call: parts are handed out until `clear`. Parts never move.
class Arena {
   public:
    void clear() {
        if (blocks_.size() > 1) {  // one block that would have held it all serves the next call
            blocks_.clear();
            grow(asked_);
        }
        used_ = asked_ = 0;
    }
    template <class T>
    T* take(size_t count) {
        size_t bytes = (count * sizeof(T) + 127) / 64 * 64;
        asked_ += bytes;
        if (blocks_.empty() || used_ + bytes > blocks_.back().bytes) grow(bytes);
        T* part = reinterpret_cast<T*>(blocks_.back().memory.get() + used_);
        used_ += bytes;
        return part;
    }

   private:
    struct Free {
        void operator()(char* memory) const { std::free(memory); }
    };
    struct Block {
        std::unique_ptr<char, Free> memory;
        size_t bytes;
    };
    void grow(size_t bytes) {
        bytes = (bytes + (1 << 16)) / 64 * 64;
        char* memory = static_cast<char*>(std::aligned_alloc(64, bytes));
        if (memory == nullptr) throw std::bad_alloc();
        blocks_.push_back({std::unique_ptr<char, Free>(memory), bytes});
        used_ = 0;
    }
    std::vector<Block> blocks_;
    size_t used_ = 0, asked_ = 0;
};

}  // namespace attest
