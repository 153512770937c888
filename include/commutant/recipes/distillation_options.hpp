// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <commutant/model/decoder.hpp>
#include <commutant/optimize/parameter_group.hpp>

namespace commutant {

/// What the end-to-end stage minimises.
enum class distillation_loss {
    jensen_shannon,
    kullback_leibler,
    top_kullback_leibler,  ///< among the teacher's likeliest tokens
    next_token             ///< no teacher: overfits, offered to show that
};

/// How the end-to-end stage runs: AdamW (0.9, 0.99), cosine after a warm-up.
struct distillation_options {
    std::size_t n_steps = 300;
    std::size_t batch = 16;  ///< windows
    /// Peaks, by group: rotations less than other transforms, weight grids less than activation grids.
    group_values learning_rates{3e-3, 5e-3, 5e-3, 5e-3, 3e-3, 1e-2};
    double rate_factor = 1;  ///< on all of them
    double warm_up = 0.05;   ///< share of the steps
    /// Every pass over the text but the first cuts it into windows at other places; the teacher is asked at every step.
    bool shifts_windows = false;
    distillation_loss loss = distillation_loss::jensen_shannon;
    std::size_t top_k = 100;  ///< of top_kullback_leibler
    eps_rule eps = eps_rule::exact;
    std::size_t check_every = 25;  ///< steps between looks at held-out text
    std::size_t patience = 0;      ///< looks without improvement before training stops; 0: never
    double max_condition = 50;     ///< of T_v: a step beyond is not taken
    std::size_t n_threads = 1;
    std::size_t seed = 1;
};

}  // namespace commutant
