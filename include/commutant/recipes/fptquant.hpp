// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/sites/sites.hpp>
#include <commutant/transforms/block_hadamard.hpp>
#include <commutant/transforms/channel_scale.hpp>
#include <commutant/transforms/dense.hpp>
#include <commutant/transforms/orthogonal.hpp>
#include <commutant/transforms/scaled_rotation.hpp>

namespace commutant {

/// The six transforms of FPTQuant (arXiv:2506.04985): T_k, T_v, T_u, T_r merge; T_d and S_n stay online.
using fptquant_plan = plan<at<sites::query_key, scaled_rotation>, at<sites::value_output, dense>,
                           at<sites::up_down, channel_scale>, at<sites::residual_stream, orthogonal>,
                           at<sites::down_input, block_hadamard>, at<sites::token_scale, residual_scale>>;

}  // namespace commutant
