// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace commutant {

/// Which two features of a head RoPE rotates together, r being rotary_dim.
enum class pairing {
    interleaved,  ///< (2i, 2i + 1): llama2.c, GGUF "NORM"
    half_split    ///< (i, i + r / 2): Hugging Face
};

}  // namespace commutant
