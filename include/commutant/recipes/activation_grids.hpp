// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <commutant/quant/fake_quantize.hpp>
#include <commutant/recipes/covered_locations.hpp>

namespace commutant {

/// Static grids of a decoder's activations, one for each layer and location; floating point where none was set.
///
/// Layout    layer n_layers holds what follows the last block: head_input
class activation_grids {
public:
    activation_grids() = default;
    explicit activation_grids(std::size_t n_layers) : grids_((n_layers + 1) * n_locations) {}

    [[nodiscard]] std::size_t n_layers() const noexcept {
        return grids_.empty() ? 0 : grids_.size() / n_locations - 1;
    }
    [[nodiscard]] grid const& at(std::size_t layer, location where) const {
        return grids_.at(layer * n_locations + static_cast<std::size_t>(where));
    }
    [[nodiscard]] grid& at(std::size_t layer, location where) {
        return grids_.at(layer * n_locations + static_cast<std::size_t>(where));
    }

    friend bool operator==(activation_grids const&, activation_grids const&) = default;

private:
    std::vector<grid> grids_{};
};

/// "layer 3, down_input": a place in messages.
[[nodiscard]] inline std::string place_name(std::size_t layer, location where) {
    return "layer " + std::to_string(layer) + ", " + std::string(to_string(where));
}

/// A tap that rounds activations where the settings say so: on static grids, or per token on grids of their own.
///
/// Shape     works on any matrix reading with data(): row-major, one row for each token
/// Note      the settings and the grids must outlive the tap
class quantizing_tap {
public:
    quantizing_tap(quantization_settings const& settings, activation_grids const& grids)
        : settings_(&settings), grids_(&grids) {}

    template <class M> [[nodiscard]] M operator()(location where, std::size_t layer, M x) const {
        if (!is_quantized(*settings_, where)) return x;
        activation_settings const& s = settings_at(*settings_, where);
        std::span<typename M::scalar> const values(x.data(), x.size());
        if (s.timing == grid_timing::dynamic_grid)
            fake_quantize_per_token_in_place(values, x.cols(), s.num_bits, s.symmetric);
        else
            fake_quantize_in_place(values, grids_->at(layer, where));
        return x;
    }

private:
    quantization_settings const* settings_;
    activation_grids const* grids_;
};

}  // namespace commutant
