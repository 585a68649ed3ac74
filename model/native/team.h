// Threads that compute a function together, and how they share work and wait for each other.
//
// No OpenMP: Apple's compiler has none, Windows has another, and a library that any machine can load brings no second
// one. A team's threads sleep between two functions: an editor's machine is busy.
#pragma once

#if !defined(_WIN32)
#include <pthread.h>
#endif

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>

namespace {

struct Part {
    size_t first, last;
};

// Thread `id`'s share of n things, in whole multiples of `unit`.
inline Part share(size_t n, size_t unit, int id, int threads) {
    const size_t units = (n + unit - 1) / unit;
    return {std::min(n, units * id / threads * unit), std::min(n, units * (id + 1) / threads * unit)};
}

// All threads wait for each other. They spin for some microseconds, as the work between two meetings
// is short, then let others have the core.
class Meeting {
  public:
    void wait(int threads) {
        if (threads == 1) return;
        const int round = round_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) == threads - 1) {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round_.load(std::memory_order_acquire) == round; spins++)
            if (spins > 2000) std::this_thread::yield();
    }

  private:
    std::atomic<int> arrived_{0}, round_{0};
};

// The process's threads. Whoever calls `run` is its first; the others are started when they are first needed, and stay.
class Team {
  public:
    // Call work(id, threads) on up to `wanted` threads at once: on fewer where the system gives no more. Calls from
    // different threads take turns.
    template <typename Work>
    static void run(int64_t wanted, const Work &work) {
        if (wanted <= 1) return work(0, 1);
        Team &team = *of_process();
        const std::lock_guard<std::mutex> alone(team.turn_);
        const int threads = team.grow(wanted);
        team.begin({[](const void *what, int id, int count) { (*static_cast<const Work *>(what))(id, count); }, &work, threads});
        work(0, threads);
        team.end_.wait(threads);
    }

  private:
    struct Job {
        void (*call)(const void *work, int id, int threads);
        const void *work;
        int threads;
    };

    // Never destroyed: its threads sleep in it until the process ends. A forked process has none of them, so that it
    // gets another.
    static Team *&of_process() {
        static Team *team = [] {
#if !defined(_WIN32)
            pthread_atfork(nullptr, nullptr, [] { of_process() = new Team; });
#endif
            return new Team;
        }();
        return team;
    }

    // How many threads there are after this, the caller included.
    int grow(int64_t wanted) {
        try {
            for (; size_ < wanted; size_++) std::thread(&Team::stay, this, size_, number_).detach();
        } catch (const std::system_error &) { // no more threads for this user or this container
        }
        return static_cast<int>(std::min<int64_t>(size_, wanted));
    }

    void begin(const Job &job) {
        {
            const std::lock_guard<std::mutex> hold(mutex_);
            job_ = job;
            number_++;
        }
        wake_.notify_all();
    }

    // A thread's life: the jobs after number `seen`.
    void stay(int id, uint64_t seen) {
        for (;;) {
            Job job;
            {
                std::unique_lock<std::mutex> hold(mutex_);
                wake_.wait(hold, [&] { return number_ != seen; });
                seen = number_;
                job = job_;
            }
            if (id >= job.threads) continue;
            job.call(job.work, id, job.threads);
            end_.wait(job.threads);
        }
    }

    std::mutex turn_, mutex_;
    std::condition_variable wake_;
    Job job_ = {nullptr, nullptr, 0};
    uint64_t number_ = 0; // of the job
    int size_ = 1;        // threads, the caller's included
    Meeting end_;
};

} // namespace
