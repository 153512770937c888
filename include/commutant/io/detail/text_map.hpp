// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace commutant::detail {

/// Hash that lets a map of strings be asked with a string_view.
struct text_hash {
    using is_transparent = void;
    [[nodiscard]] std::size_t operator()(std::string_view text) const noexcept {
        return std::hash<std::string_view>{}(text);
    }
};

template <class Value> using text_map = std::unordered_map<std::string, Value, text_hash, std::equal_to<>>;

/// Key of an ordered pair of token ids.
[[nodiscard]] constexpr unsigned long long pair_key(int left, int right) {
    return static_cast<unsigned long long>(static_cast<unsigned>(left)) << 32 | static_cast<unsigned>(right);
}

}  // namespace commutant::detail
