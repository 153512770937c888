// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "harness/session.hpp"
#include "peaks/bandwidth.hpp"
#include "peaks/compute.hpp"

namespace commutant::bench {

void add_peaks(std::vector<contest>& to, session const& s) {
    int const n_threads = s.n_threads;
    to.push_back({"peaks/arithmetic",
                  [n_threads] {
                      std::vector<contestant> r = compute_peaks(n_threads);
                      if (n_threads == 1) r.push_back(cycle_counter());
                      return r;
                  },
                  nullptr});
    memory_sizes const sizes = sizes_of_memory();
    struct level {
        char const* name;
        std::size_t bytes, rotated;
    };
    for (level const& l :
         {level{"L1", sizes.l1 * 3 / 4, 0}, level{"L2", sizes.l2 * 3 / 4, 0}, level{"L3", sizes.l2 * 4, 0},
          level{"DRAM", std::size_t{32} << 20, sizes.beyond_caches}}) {
        auto const threads = static_cast<std::size_t>(n_threads);
        to.push_back({std::string("peaks/") + l.name,
                      [l, threads] {
                          return bandwidth_peaks("", l.bytes * threads, l.rotated, static_cast<int>(threads));
                      },
                      nullptr});
    }
}

}  // namespace commutant::bench
