// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <csignal>

namespace program {

/// Whether Ctrl-C has been pressed while something interruptible was running.
inline std::atomic<bool> interrupted{false};

extern "C" inline void note_interrupt(int) {
    interrupted.store(true);
    std::signal(SIGINT, SIG_DFL);
}

/// While it lives, Ctrl-C asks once to end what is running; a second one ends the program as usual.
class interruptible {
public:
    interruptible() : before_(std::signal(SIGINT, note_interrupt)) { interrupted.store(false); }
    interruptible(interruptible const&) = delete;
    interruptible& operator=(interruptible const&) = delete;
    ~interruptible() { std::signal(SIGINT, before_); }

private:
    void (*before_)(int);
};

}  // namespace program
