// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/transforms/diagonal.hpp>

namespace commutant {

/// One factor per channel, of either sign (T_u between up_proj and down_proj).
///
/// Equation  y_j = s_j x_j, s_j != 0
/// Law       passes the gate product on its linear side (laws/)
/// Paper     FPTQuant, arXiv:2506.04985
struct channel_scale {
    static constexpr char const* name = "channel_scale";
    template <class S> [[nodiscard]] static constexpr S factor(S const& s) { return s; }
};

}  // namespace commutant
