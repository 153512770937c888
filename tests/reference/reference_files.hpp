// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// Small readers for the reference: enough for the checkpoints it is checked on, and no more.

#include "reference_model.hpp"

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace reference {

/// A checkpoint as read.
struct model {
    config geometry;
    weights values;
};

/// One tensor of a safetensors file; integers too are held as double (exact up to 2^53).
struct tensor {
    std::vector<std::size_t> shape;
    std::vector<double> values;
};

/// Reads a version 0 llama2.c checkpoint: float32, RoPE pairs (2i, 2i + 1), theta 10000, eps 1e-5.
///
/// Errors  std::runtime_error naming the file if it cannot be read or its size is not what its header says
model read_llama2c(const std::string& path);

/// Reads the F32, F16, BF16, I32 and I64 tensors of one safetensors file.
///
/// Errors  std::runtime_error naming the file and the tensor
std::map<std::string, tensor> read_safetensors(const std::string& path);

/// Reads config.json and model.safetensors of a Llama, Mistral, Qwen2 or Qwen3 folder (one shard).
///
/// Errors  std::runtime_error for a tensor that is missing or that nobody reads, and for an unknown
/// model_type,
///         activation or rope_type
model read_hugging_face(const std::string& folder);

/// The greedy score-ordered byte pair encoder of llama2.c.
class llama2c_tokeniser {
public:
    /// Errors  std::runtime_error naming the file if it does not hold exactly vocab_size pieces
    llama2c_tokeniser(const std::string& path, std::size_t vocab_size);

    /// Tokens of the text, without BOS or EOS. A non-empty text gets one blank in front, characters that are
    /// no piece become byte tokens (byte + 3), then the neighbouring pair whose union has the best score is
    /// joined (the leftmost of equals) until no union is a piece.
    [[nodiscard]] std::vector<int> encode(std::string_view text) const;

private:
    std::vector<std::string> pieces_;
    std::vector<float> scores_;
    std::unordered_map<std::string, int> index_;
};

/// Contents of a file. Errors  std::runtime_error naming it
std::string read_file(const std::string& path);

}  // namespace reference
