// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "reference_protocol.hpp"

#include <algorithm>
#include <stdexcept>

namespace reference {

std::vector<std::string> documents(std::string_view text) {
    constexpr std::string_view separator = "<|endoftext|>";
    constexpr std::string_view white = " \t\r\n\v\f";
    std::vector<std::string> found;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(separator, begin), text.size());
        const std::string_view between = text.substr(begin, end - begin);
        if (const std::size_t first = between.find_first_not_of(white); first != std::string_view::npos) {
            found.emplace_back(between.substr(first, between.find_last_not_of(white) + 1 - first));
        }
        begin = end + separator.size();
    }
    return found;
}

std::vector<std::vector<int>> protocol_windows(
    std::string_view text, std::size_t seq_len,
    const std::function<std::vector<int>(std::string_view)>& encode, const protocol& limits) {
    std::vector<std::vector<int>> windows;
    std::size_t left = limits.max_tokens;
    std::size_t n_documents = 0;
    for (const std::string& document : documents(text)) {
        if (left == 0 || n_documents == limits.max_documents) {
            break;
        }
        ++n_documents;
        std::vector<int> tokens = encode(document);
        tokens.resize(std::min(tokens.size(), left));
        left -= tokens.size();
        for (std::size_t begin = 0; begin < tokens.size(); begin += seq_len - 1) {
            std::vector<int> window{limits.bos};
            for (std::size_t i = begin; i < std::min(begin + seq_len - 1, tokens.size()); ++i) {
                window.push_back(tokens[i]);
            }
            windows.push_back(std::move(window));
        }
    }
    return windows;
}

double nll_per_token(const config& c, const weights& w, const std::vector<std::vector<int>>& windows) {
    double sum = 0.0;
    std::size_t n_predictions = 0;
    for (const auto& window : windows) {
        sum += negative_log_likelihood(c, w, window);
        n_predictions += window.empty() ? 0 : window.size() - 1;
    }
    if (n_predictions == 0) {
        throw std::invalid_argument(
            "reference: windows hold no token behind BOS, expected at least one to predict");
    }
    return sum / static_cast<double>(n_predictions);
}

}  // namespace reference
