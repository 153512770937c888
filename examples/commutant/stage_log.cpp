// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "stage_log.hpp"

#include <algorithm>
#include <fstream>

#include "process_memory.hpp"

namespace program {
namespace {

/// Makes the process's peak what it holds now.
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5\n"; }

double seconds_since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

void stage_log::begin(std::string const& name) {
    end();
    auto const found =
        std::find_if(stages_.begin(), stages_.end(), [&](stage const& s) { return s.name == name; });
    current_ = static_cast<std::size_t>(found - stages_.begin());
    if (found == stages_.end()) stages_.push_back({name, 0, 0});
    reset_peak();
    begin_ = clock::now();
}

void stage_log::end() {
    if (current_ == none) return;
    stage& s = stages_[current_];
    s.seconds += seconds_since(begin_);
    s.peak_rss_bytes = std::max(s.peak_rss_bytes, program::peak_rss_bytes());
    current_ = none;
}

double stage_log::seconds() const { return seconds_since(start_); }

std::size_t stage_log::peak_rss_bytes() const {
    std::size_t peak = 0;
    for (auto const& s : stages_) peak = std::max(peak, s.peak_rss_bytes);
    return peak;
}

json stage_log::numbers() const {
    json list = json::array();
    for (auto const& s : stages_)
        list.push_back({{"name", s.name}, {"seconds", s.seconds}, {"peak_rss_bytes", s.peak_rss_bytes}});
    return list;
}

}  // namespace program
