// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// The evaluation protocol: how a text becomes windows of tokens and windows become one number. It reproduces
// the likelihoods stated for the test data; the readings that were tried and do not are noted in
// reference_data_test.cpp.
//
//   1. Documents are what lies between lines `<|endoftext|>`, in order, without white space at either end (so
//      without the line end before and after the separator); empty ones do not count. A text without
//      separators is one document. Only the first 40 are used.
//   2. Each document is encoded by itself, with what its tokeniser puts in front of a text (llama2.c: a
//      blank) but without BOS and without EOS; a document is therefore never scored for ending.
//   3. Tokens are taken document after document until 4000 are taken; the last document is cut there.
//   4. A document is cut into consecutive windows of seq_len - 1 tokens that do not overlap. The last one may
//      be shorter. Windows never reach across documents.
//   5. *Every* window, also the second of a document, gets BOS in front and begins at position 0 with an
//      empty past. Its first token is predicted from BOS alone, so the number of predictions is the number of
//      tokens taken.
//   6. The result is the sum of -log p over all predictions divided by their number: not a mean of means.

#include "reference_model.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace reference {

/// Limits of the protocol.
struct protocol {
    std::size_t max_tokens = 4000;
    std::size_t max_documents = 40;
    int bos = 1;
};

/// Step 1, without the limit on their number.
std::vector<std::string> documents(std::string_view text);

/// Steps 1 to 5: windows of at most seq_len tokens, BOS the first of each.
std::vector<std::vector<int>> protocol_windows(
    std::string_view text, std::size_t seq_len,
    const std::function<std::vector<int>(std::string_view)>& encode, const protocol& limits = {});

/// Step 6: natural log per predicted token.
///
/// Errors  std::invalid_argument if there is nothing to predict
double nll_per_token(const config& c, const weights& w, const std::vector<std::vector<int>>& windows);

}  // namespace reference
