// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everyday use: transforms, their laws, the sites where they stand, merges on your own buffers, the decoder. Proofs of
// whole blocks (proofs/), recipes (recipes/), training (optimize/) and files (io/) are included on purpose.

#include <commutant/version.hpp>

#include <commutant/laws/commutes_with.hpp>
#include <commutant/merge/merge.hpp>
#include <commutant/model/inference.hpp>
#include <commutant/readings/eigen_matrix.hpp>
#include <commutant/readings/weight_ref.hpp>
#include <commutant/sites/admissible.hpp>
#include <commutant/transforms/block_hadamard.hpp>
#include <commutant/transforms/channel_scale.hpp>
#include <commutant/transforms/compose.hpp>
#include <commutant/transforms/dense.hpp>
#include <commutant/transforms/direct_sum.hpp>
#include <commutant/transforms/fixed.hpp>
#include <commutant/transforms/kronecker.hpp>
#include <commutant/transforms/orthogonal.hpp>
#include <commutant/transforms/permutation.hpp>
#include <commutant/transforms/scaled_rotation.hpp>
