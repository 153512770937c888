// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>

#include <commutant/model/config.hpp>

// Which transforms keep which family's function: the outcome of proofs that run while the program is compiled.

namespace program {

/// One of the six transforms of FPTQuant at its site.
struct validity_row {
    char const* symbol;        ///< T_k, T_v, T_u, T_r, T_d, S_n
    char const* site;          ///< sites/sites.hpp
    char const* kind;          ///< the transform's name in the library
    char const* between;       ///< what it has to commute with
    char const* at_inference;  ///< "merged" or "online"
    bool exact;                ///< proved for the family; what is not proved does not count as exact
};

/// The six rows of a model's family.
[[nodiscard]] std::array<validity_row, 6> validity_of(commutant::model_config const& config);

/// Why a transform that is not exact is not, for people.
[[nodiscard]] std::string reason_against(validity_row const& row, commutant::model_config const& config);

}  // namespace program
