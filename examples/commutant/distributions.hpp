// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "output.hpp"
#include "runs.hpp"

namespace program {

/// How a model's activations on windows, as far as a coverage quantises them, and the weights of its blocks are distributed:
/// `activations` and `weights`, lists of places and layers.
[[nodiscard]] json distributions_of(char const* label, cm::decoder<float32> const& model,
                                    cm::token_sequences const& windows, cm::coverage covered);

}  // namespace program
