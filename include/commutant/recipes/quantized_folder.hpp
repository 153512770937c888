// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/decoder_tensors.hpp>
#include <commutant/io/safetensors.hpp>
#include <commutant/io/safetensors_writer.hpp>
#include <commutant/model/named_tensors.hpp>
#include <commutant/recipes/quantized_config.hpp>
#include <commutant/recipes/quantized_decoder.hpp>

namespace commutant {

// A quantised model on disk. Integer codes and online transforms mean nothing to other programs, so the folder names a model
// type of its own, "commutant_llama" for instance, and no other program loads it by mistake.
//
//   config.json         the merged model's, with that model type and a key "commutant": settings, grids, online parts
//   model.safetensors   block weights: `<linear>.weight` I8 codes [out, in], `<linear>.weight_scale` F32 [out, in / slice]
//                       (one column per slice; [1, 1] per tensor); everything else F32 under its usual name

namespace detail {
/// Rows and columns of a weight's scales.
[[nodiscard]] inline std::vector<std::size_t> scale_shape(weight_settings const& s, std::size_t rows,
                                                          std::size_t cols) {
    if (s.scope == granularity::per_tensor) return {1, 1};
    return {rows, cols / slice_size(s.scope, rows, cols, s.group_size)};
}

/// Whether a tensor is the weight of a block linear: those are the ones that are stored as codes.
[[nodiscard]] inline bool is_block_weight(std::string const& name) {
    return name.find("_proj.weight") != std::string::npos;
}
}  // namespace detail

/// config.json of a quantised model, from that of the merged model it was made of.
template <class M>
[[nodiscard]] std::string quantized_config_text(quantized_decoder<M> const& q,
                                                std::string const& merged_config) {
    auto config = nlohmann::ordered_json::parse(merged_config);
    std::string const type = config.at("model_type").template get<std::string>();
    config["model_type"] = detail::quantized_prefix + type;
    // Some clients go by this key alone. (Clang 14 never destroys what `= {...}` replaces inside a template.)
    config["architectures"] = nlohmann::ordered_json::array({"CommutantForCausalLM"});
    nlohmann::ordered_json ours = detail::settings_to_json(q.settings);
    ours["format"] = detail::quantized_format;
    ours["model_type"] = type;
    ours["online"] = detail::online_to_json(q.model.online);
    ours["grids"] = detail::grids_to_json(q.grids, q.settings);
    config["commutant"] = std::move(ours);
    return config.dump(2) + "\n";
}

/// Writes a quantised decoder: what the folder says is what read_quantized_folder computes with, bit for bit in float.
///
/// merged_config  config.json of the merged model
/// directory exists and is empty, that of an io::atomic_directory
/// Errors    io::output_error for a failed write; std::invalid_argument if RoPE does not pair halves or
///           weights are asymmetric
template <class M>
void write_quantized_folder(std::filesystem::path const& directory, quantized_decoder<M> const& q,
                            std::string const& merged_config) {
    if (q.model.config.rope_pairing != pairing::half_split)
        throw std::invalid_argument(
            "write_quantized_folder: RoPE pairs neighbours, expected half_split (change_pairing_in_place)");
    if (!q.settings.weights.symmetric)
        throw std::invalid_argument(
            "write_quantized_folder: weights are asymmetric, expected symmetric ones");
    using scalar = typename M::scalar;
    weight_settings const& settings = q.settings.weights;
    std::vector<io::tensor_declaration> declared;
    std::map<std::string, std::size_t> gains;  // elements of vectors, which may have been folded
    for (auto const& t : io::decoder_tensors(q.model.config)) {
        bool const as_codes = settings.num_bits != 16 && detail::is_block_weight(t.name);
        declared.push_back({t.name, as_codes ? io::dtype::i8 : io::dtype::f32, t.shape});
        if (as_codes)
            declared.push_back(
                {t.name + "_scale", io::dtype::f32, detail::scale_shape(settings, t.shape[0], t.shape[1])});
        if (t.shape.size() == 1) gains.emplace(t.name, t.shape[0]);
    }
    io::safetensors_writer writer(directory / "model.safetensors", declared);
    visit_tensors(q.model, [&](std::string const& name, M const& w) {
        if (w.size() == 0) {
            auto const gain = gains.find(name);
            if (gain == gains.end()) return;
            std::vector<float> const ones(gain->second, 1.0F);
            writer.write(name, std::span<float const>(ones));
        } else if (settings.num_bits == 16 || !detail::is_block_weight(name)) {
            writer.write(name, std::span<scalar const>(w.data(), w.size()));
        } else {
            auto const& grids = q.weight_grids.at(name.substr(0, name.rfind('.')));
            std::size_t const slice = w.size() / grids.size();
            std::vector<std::int8_t> codes(w.size());
            std::vector<float> scales;
            for (std::size_t i = 0; i < grids.size(); ++i) {
                quantize(std::span<scalar const>(w.data() + i * slice, slice), grids[i],
                         std::span<std::int8_t>(codes.data() + i * slice, slice));
                scales.push_back(grids[i].scale);
            }
            writer.write(name, std::span<std::int8_t const>(codes));
            writer.write(name + "_scale", std::span<float const>(scales));
        }
    });
    writer.commit();
    io::write_text(directory / "config.json", quantized_config_text(q, merged_config));
}

/// Reads a quantised decoder.
///
/// Errors    io::input_error for a bad file: a tensor missing, too many, of another shape or type, a code outside the
///           width, a scale that is no positive number, weights that are not finite
template <class M>
[[nodiscard]] quantized_decoder<M> read_quantized_folder(std::filesystem::path const& path) {
    using scalar = typename M::scalar;
    auto config = read_quantized_config(path);
    auto const file = io::safetensors_file::open(path / "model.safetensors");
    auto const refuse = [&](std::string const& name, std::string const& fact) {
        throw io::input_error(file.path().string(), "tensor " + detail::in_quotes(name) + " " + fact);
    };
    auto const require = [&](std::string const& name, io::dtype type, std::vector<std::size_t> const& shape) {
        auto const& info = file.info(name);
        if (info.type != type || info.shape != shape)
            refuse(name, "is " + std::string(io::dtype_name(info.type)) + " " + io::shape_text(info.shape) +
                             ", expected " + std::string(io::dtype_name(type)) + " " + io::shape_text(shape));
    };
    quantized_decoder<M> q;
    q.settings = config.settings;
    q.grids = std::move(config.grids);
    q.model.config = config.model;
    q.model.online = config.online;
    q.model.layers.resize(config.model.n_layers);
    weight_settings const& settings = q.settings.weights;
    std::map<std::string, std::vector<std::size_t>> wanted;
    for (auto const& t : io::decoder_tensors(config.model)) wanted.emplace(t.name, t.shape);

    auto const read_floats = [&](std::string const& name, std::vector<std::size_t> const& shape, auto out) {
        require(name, io::dtype::f32, shape);
        file.read(name, out);
        for (auto const x : out)
            if (!std::isfinite(x)) refuse(name, "holds a value that is not finite");
    };
    auto const read_codes = [&](std::string const& name, std::vector<std::size_t> const& shape, M& w) {
        require(name, io::dtype::i8, shape);
        std::vector<std::size_t> scales_shape;
        try {
            scales_shape = detail::scale_shape(settings, shape[0], shape[1]);
        } catch (std::invalid_argument const& error) {
            refuse(name, std::string("does not fit the settings: ") + error.what());
        }
        std::vector<float> scales(scales_shape[0] * scales_shape[1]);
        read_floats(name + "_scale", scales_shape, std::span<float>(scales));
        std::vector<std::int32_t> codes(w.size());
        file.read_int32(name, codes);
        std::size_t const slice = w.size() / scales.size();
        std::vector<grid> grids;
        for (std::size_t i = 0; i < scales.size(); ++i) {
            grid const g{scales[i], 0, settings.num_bits, settings.symmetric};
            try {
                validate(g);
            } catch (std::invalid_argument const& error) {
                refuse(name + "_scale", "element " + std::to_string(i) + ": " + error.what());
            }
            for (std::size_t k = i * slice; k < (i + 1) * slice; ++k) {
                if (codes[k] < g.lo() || codes[k] > g.hi())
                    refuse(name, "holds the code " + std::to_string(codes[k]) + " at element " +
                                     std::to_string(k) + ", expected " + std::to_string(g.lo()) + " to " +
                                     std::to_string(g.hi()));
                w.data()[k] = dequantize<scalar>(codes[k], g);
            }
            grids.push_back(g);
        }
        q.weight_grids.emplace(name.substr(0, name.rfind('.')), std::move(grids));
    };
    std::size_t n_read = 0;
    visit_tensors(q.model, [&](std::string const& name, M& w) {
        auto const found = wanted.find(name);
        if (found == wanted.end()) return;
        auto const& shape = found->second;
        bool const as_codes = settings.num_bits != 16 && detail::is_block_weight(name);
        require(name, as_codes ? io::dtype::i8 : io::dtype::f32, shape);  // before anything is allocated
        w = shape.size() == 2 ? M(shape[0], shape[1]) : M(1, shape[0]);
        if (as_codes)
            read_codes(name, shape, w);
        else
            read_floats(name, shape, std::span<scalar>(w.data(), w.size()));
        n_read += as_codes ? 2 : 1;
    });
    if (n_read != file.names().size())
        throw io::input_error(file.path().string(), "holds " + std::to_string(file.names().size()) +
                                                        " tensors, expected " + std::to_string(n_read));
    // Gains of one are gains that have been folded; S_n needs to know.
    auto const drop_ones = [&](M& gain) {
        for (std::size_t k = 0; k < gain.size(); ++k) {
            if (gain.data()[k] == scalar(1)) continue;
            if (q.model.online.token_scale)
                throw io::input_error(
                    file.path().string(),
                    "holds a norm gain other than 1, expected folded gains under token_scale");
            return;
        }
        gain = M{};
    };
    for (auto& l : q.model.layers) drop_ones(l.attention_norm), drop_ones(l.ffn_norm);
    drop_ones(q.model.final_norm);
    return q;
}

}  // namespace commutant
