// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <commutant/io/checkpoint.hpp>
#include <commutant/merge/rope_pairing.hpp>
#include <commutant/recipes/merged_folder.hpp>
#include <commutant/recipes/norm_descent.hpp>
#include <commutant/recipes/weight_samples.hpp>

// The data-free stage on a model that does not fit into memory: T_r on samples of all blocks, then one block after the
// other. A block is read, T_r is merged, its T_k, T_v and T_u are trained on samples, everything is merged in double
// precision and written. What is in memory is one block, a few thousand rows of embedding or head, and T_r.

namespace commutant {

/// How the streamed stage runs. The order is always sequential.
struct streaming_options {
    local_options local{};
    std::size_t sample_rows = 128;  ///< features of each weight at each step, on each thread
    std::size_t sample_layers = 4;  ///< blocks that T_r sees at each step
    std::uint64_t seed = 1;         ///< of the samples
    condition_limits limits{};
    std::optional<io::dtype> store_as{};
};

/// What it did.
struct streaming_report {
    local_report local{};       ///< losses with T_d; loss_before is estimated from samples
    double original_norms = 0;  ///< the sum of norms of the weights as they are stored
    double rotation_seconds = 0, rows_seconds = 0;
    std::vector<double> layer_seconds{};
    merge_report merge{};
    io::storage_report storage{};
};

/// Who looks on; both may be empty.
struct streaming_watch {
    std::function<void(std::string const& stage, std::size_t done, std::size_t total)> progress{};
    std::function<bool()> stop{};  ///< true: end with `interrupted`
};

/// The stage was asked to stop.
class interrupted : public std::runtime_error {
public:
    interrupted() : std::runtime_error("interrupted") {}
};

namespace detail {

/// One run of the stage.
template <class T> class streamed_stage {
public:
    using training_matrix = eigen_matrix<T>;
    using merging_matrix = eigen_matrix<double>;

    streamed_stage(io::checkpoint const& source, transform_parameters<training_matrix>& p,
                   streaming_options const& options, streaming_watch const& watch)
        : source_(source), config_(source.config()), p_(p), options_(options), watch_(watch) {}

    streaming_report run(std::filesystem::path const& directory) {
        if (rotates()) {
            timed(report_.rotation_seconds, [&] { train_rotation(); });
            rotation_ = mapped<merging_matrix>(p_, widened).residual_stream.value();
        }
        model_config merged = config_;
        merged.rope_pairing = pairing::half_split;
        if (rotates()) merged.tied_head = false;
        merged_writer writer(directory, merged, source_, options_.store_as);
        timed(report_.rows_seconds, [&] { merge_embedding_and_head(writer, merged.tied_head); });
        report_.layer_seconds.resize(config_.n_layers);
        for (std::size_t i = 0; i < config_.n_layers; ++i)
            timed(report_.layer_seconds[i], [&] { transform_layer(i, writer); });
        report_.storage = writer.commit();
        return report_;
    }

private:
    [[nodiscard]] static merging_matrix widened(training_matrix const& x) {
        return x.values.template cast<double>();
    }
    [[nodiscard]] bool rotates() const { return p_.chosen.residual_stream; }
    [[nodiscard]] int p() const { return options_.local.p; }
    [[nodiscard]] std::size_t n_threads() const { return std::max<std::size_t>(1, options_.local.n_threads); }

    template <class F> static void timed(double& seconds, F f) {
        auto const begin = std::chrono::steady_clock::now();
        f();
        seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }

    /// Into how many parts a block is cut where the whole would need as much work space again.
    static constexpr std::size_t default_parts = 8;

    /// Part k of n of a list.
    [[nodiscard]] static feature_list share_of(feature_list const& f, std::size_t k, std::size_t n) {
        auto const at = [&](std::size_t j) {
            return f.begin() + static_cast<std::ptrdiff_t>(j * f.size() / n);
        };
        return {at(k), at(k + 1)};
    }

    [[nodiscard]] std::string name_of_block(std::size_t i) const {
        return "block " + std::to_string(i + 1) + " of " + std::to_string(config_.n_layers);
    }

    void show(std::string const& stage, std::size_t done, std::size_t total) const {
        if (watch_.stop && watch_.stop()) throw interrupted();
        if (watch_.progress) watch_.progress(stage, done, total);
        source_.release_pages();
    }

    /// Numbers of its own for each step and thread of a turn.
    [[nodiscard]] random_source randomness(std::size_t turn, std::size_t step, std::size_t thread) const {
        random_source r(options_.seed);
        for (std::size_t const x : {turn, step, thread}) r = random_source(r.next_word() + x);
        return r;
    }

    template <class Weights>
    void note_norms(Weights const& weights, feature_list const& layers, norm_estimates& norms) const {
        visit_weights(weights, layers, [&](std::string const& name, training_matrix const& w) {
            norms.add(name, lp_norm_of(w, p()));
        });
    }

    void train_rotation() {
        std::size_t const n = options_.sample_rows, n_layers = config_.n_layers;
        std::size_t const each = std::clamp<std::size_t>(options_.sample_layers / n_threads(), 1, n_layers);
        norm_estimates norms(config_, p());
        auto random = randomness(0, 0, 0);
        training_matrix const start = p_.residual_stream.value();
        for (std::size_t i = 0; i < n_layers; ++i) {
            auto sample = sample_for_rotation(source_, p_, {i}, n, random);
            fold_rotation(start, sample.weights);
            note_norms(sample.weights, sample.layers, norms);
            show("T_r, norms of the start", i + 1, n_layers);
        }
        report_.local.loss_before = norms.sum();
        // A step moves each entry of the skew matrix by the rate, and so the rotation by that times the root of its size.
        auto local = options_.local;
        local.learning_rate *= std::min(1.0, std::sqrt(512.0 / static_cast<double>(config_.model_dim)));
        std::size_t done = 0;
        descend_norms(
            p_, local, [](parameter_group g) { return g == parameter_group::residual_stream; },
            [&](std::size_t step, std::size_t thread) {
                auto r = randomness(1, step, thread);
                auto sample = sample_for_rotation(source_, p_, random_subset(r, each, n_layers), n, r);
                return decoder_part<tape_matrix<T>>{converted<tape_matrix<T>>(sample.weights),
                                                    std::move(sample.layers), sample.layer_share};
            },
            [](auto const& transforms, auto& weights, std::size_t) {
                fold_rotation(transforms.residual_stream.value(), weights);
            },
            &norms, report_.local, [&] { show("T_r", ++done, options_.local.n_steps); });
    }

    /// Block i with T_r merged, in parts that the threads share.
    [[nodiscard]] decoder_layer<merging_matrix> rotated_layer(std::size_t i) {
        constexpr std::size_t n_parts = default_parts;
        auto const all = all_features(config_);
        auto const part_of_layer = [&](std::size_t k) {
            auto const some = [&](feature_list const& f) { return share_of(f, k, n_parts); };
            return layer_part({all.stream, some(all.q), some(all.k), some(all.v), some(all.o), some(all.gate),
                               some(all.up), some(all.down)},
                              config_);
        };
        decoder_layer<merging_matrix> whole;
        layer_selection const everything = layer_part(all, config_);
        visit_layer_pairs(everything, whole, i,
                          [&](std::string const& name, crossing const& c, merging_matrix& w) {
                              if (source_.contains(name)) w = merging_matrix(c.rows.size(), c.columns.size());
                          });
        std::vector<std::map<std::string, piecewise_norm>> norms(n_parts);
        on_threads(n_threads(), [&](std::size_t t) {
            for (std::size_t k = t; k < n_parts; k += n_threads()) {
                auto const part = part_of_layer(k);
                auto one = decoder_of_block(config_, load_layer<merging_matrix>(source_, i, part));
                visit_weights(one, feature_list{i}, [&](std::string const& name, merging_matrix const& w) {
                    norms[k][name].add(w, p());
                });
                if (rotates()) fold_rotation(rotation_, one);
                // Every part has all of what faces the stream on its own: the first one's is kept.
                if (k != 0) {
                    auto& l = one.layers[0];
                    for (auto* x : {&l.attention_norm, &l.ffn_norm, &l.q_norm, &l.k_norm, &l.o_proj.bias,
                                    &l.down_proj.bias})
                        *x = {};
                }
                place(one.layers[0], part, whole);
            }
        });
        if (rotates()) whole.attention_norm = whole.ffn_norm = {};
        for (std::size_t k = 1; k < n_parts; ++k)
            for (auto const& [name, norm] : norms[k]) norms[0][name].add(norm);
        for (auto const& [name, norm] : norms[0]) report_.original_norms += norm.value(p());
        return whole;
    }

    /// The transforms of block i as those of a decoder of one block, without T_r.
    [[nodiscard]] transform_parameters<training_matrix> inner_parameters_of(std::size_t i) const {
        transform_parameters<training_matrix> r;
        r.chosen = p_.chosen;
        r.chosen.residual_stream = r.chosen.token_scale = false;
        r.layers.push_back(p_.layers[i]);
        r.down_input = p_.down_input;
        return r;
    }

    void train_layer(std::size_t i, decoder_layer<training_matrix> const& rotated, model_config const& c,
                     transform_parameters<training_matrix>& inner) {
        bool const whole = options_.sample_rows >= c.model_dim;
        auto local = options_.local;
        if (whole) local.n_threads = 1;
        auto const sample = [&](random_source r) {
            return decoder_of_block(c, sample_of_stream(rotated, options_.sample_rows, c, r));
        };
        norm_estimates norms(config_, p());
        auto start = sample(randomness(2 + i, 0, n_threads()));
        fold_inner(inner, start);
        note_norms(start, feature_list{i}, norms);
        if (!rotates()) report_.local.loss_before += norms.sum();
        start = {};
        std::optional<decoder<tape_matrix<T>>> const constants =
            whole ? std::optional(converted<tape_matrix<T>>(decoder_of_block(c, rotated))) : std::nullopt;
        std::size_t done = 0;
        std::string const stage = name_of_block(i);
        descend_norms(
            inner, local, [](parameter_group) { return true; },
            [&](std::size_t step, std::size_t thread) {
                return decoder_part<tape_matrix<T>>{
                    whole ? *constants : converted<tape_matrix<T>>(sample(randomness(2 + i, step, thread))),
                    feature_list{i}};
            },
            [](auto const& transforms, auto& weights, std::size_t) { fold_inner(transforms, weights); },
            &norms, report_.local, [&] { show(stage, ++done, local.n_steps); });
    }

    void transform_layer(std::size_t i, merged_writer& writer) {
        auto one = decoder_of_block(config_, rotated_layer(i));
        show(name_of_block(i), 0, options_.local.n_steps);
        change_pairing_in_place(one, pairing::half_split);
        auto inner = inner_parameters_of(i);
        train_layer(i, converted<training_matrix>(one).layers[0], one.config, inner);
        p_.layers[i] = inner.layers[0];
        merge_inner_parts(i, mapped<merging_matrix>(inner, widened), one);
        visit_layer_tensors(one.layers[0], i,
                            [&](std::string const& name, merging_matrix const& w) { writer.write(name, w); });
    }

    /// Merges T_k, T_v and T_u into a block, a few heads and channels at a time; norms are noted with T_d.
    void merge_inner_parts(std::size_t i, transform_parameters<merging_matrix> const& inner,
                           decoder<merging_matrix>& one) {
        std::size_t const block = inner.down_input.block(), n_blocks = config_.ffn_dim / block;
        auto const heads = feature_range(0, config_.n_kv_heads), blocks = feature_range(0, n_blocks);
        std::size_t const n_parts = std::min({default_parts, heads.size(), n_blocks});
        std::map<std::string, piecewise_norm> norms;
        for (std::size_t k = 0; k < n_parts; ++k) {
            mixing_units const units{share_of(heads, k, n_parts), share_of(blocks, k, n_parts)};
            auto const features = features_of(units, block, one.config);
            auto const part = layer_part(features, one.config);
            auto c = one.config;
            c.n_kv_heads = units.kv_heads.size();
            c.n_heads = c.n_kv_heads * config_.n_rep();
            c.ffn_dim = features.down.size();
            auto piece = decoder_of_block(c, selected(one.layers[0], part));
            auto const transforms = inner_parameters(inner, 0, features, units);
            auto const found = merge_inner(transforms, piece, options_.limits);
            report_.merge.condition = std::max(report_.merge.condition, found.condition);
            for (auto const& warning : found.warnings)
                report_.merge.warnings.push_back(name_of_block(i) + ": " + warning);
            place(piece.layers[0], part, one.layers[0]);
            if (inner.chosen.down_input)
                merge_down_input_in_place(transforms.down_input, piece.layers[0].down_proj);
            visit_weights(piece, feature_list{i},
                          [&](std::string const& name, merging_matrix const& w) { norms[name].add(w, p()); });
        }
        for (auto const& [name, norm] : norms) report_.local.loss_after += norm.value(p());
    }

    void merge_embedding_and_head(merged_writer& writer, bool tied) {
        plan_transforms<only_sites<fptquant_plan, sites::residual_stream>, merging_matrix> t;
        t.residual_stream = {rotation_};
        auto const gain = load_selected<merging_matrix>(source_, "model.norm.weight",
                                                        {{0}, feature_range(0, config_.model_dim)});
        merge_rows("embedding", "model.embed_tokens.weight", "model.embed_tokens.weight", writer,
                   [&](merging_matrix const& rows) { return merged_embedding_rows(t, rows); });
        if (!tied)
            merge_rows("head", head_name(config_), "lm_head.weight", writer,
                       [&](merging_matrix const& rows) { return merged_head_rows(t, gain, rows); });
        writer.write("model.norm.weight", rotates() ? merging_matrix() : gain);
    }

    /// A matrix with a row for each token, a few at a time on each thread.
    template <class F>
    void merge_rows(std::string const& stage, std::string const& from, std::string const& to,
                    merged_writer& writer, F merged) {
        constexpr std::size_t at_a_time = 2048;
        std::size_t const n_rows = config_.vocab_size;
        piecewise_norm original, after;
        for (std::size_t begin = 0; begin < n_rows; begin += at_a_time * n_threads()) {
            struct chunk {
                merging_matrix rows{};
                piecewise_norm original{}, after{};
            };
            std::vector<chunk> chunks(n_threads());
            on_threads(n_threads(), [&](std::size_t t) {
                std::size_t const first = std::min(begin + t * at_a_time, n_rows);
                chunk& c = chunks[t];
                c.rows =
                    load_selected<merging_matrix>(source_, from,
                                                  {feature_range(first, std::min(at_a_time, n_rows - first)),
                                                   feature_range(0, config_.model_dim)});
                c.original.add(c.rows, p());
                if (rotates()) c.rows = merged(c.rows);
                c.after.add(c.rows, p());
            });
            for (auto const& c : chunks) {
                original.add(c.original), after.add(c.after);
                if (c.rows.size() != 0) writer.write(to, c.rows);
            }
            show(stage, std::min(begin + at_a_time * n_threads(), n_rows), n_rows);
        }
        report_.original_norms += original.value(p());
        report_.local.loss_after += after.value(p());
        if (!rotates()) report_.local.loss_before += original.value(p());
    }

    io::checkpoint const& source_;
    model_config config_;
    transform_parameters<training_matrix>& p_;
    streaming_options options_;
    streaming_watch const& watch_;
    merging_matrix rotation_{};  ///< T_r
    streaming_report report_{};
};

}  // namespace detail

/// The data-free stage from a checkpoint to a merged folder, block by block.
///
/// Equation  minimise the sum of norms of minimise_weight_norms, by Adam on gradients of samples: see norm_estimates for
///           what is unbiased. Where sample_rows and sample_layers reach everything, nothing is estimated
/// p         where to start, and then what was found. T_r, T_k, T_v and T_u are merged; T_d is part of the loss and is not
///           merged, since a plain checkpoint cannot carry it
/// directory exists and is empty, that of an io::atomic_directory
/// Note      same parameters, options and number of threads, same bytes. Memory: one block in double and float precision,
///           2048 rows of embedding or head for each thread, about twenty matrices of T_r's size
/// Errors    std::invalid_argument if p is not 2 to 8, sample_rows or sample_layers is 0, or S_n is chosen; those of the
///           merges and of merged_writer; interrupted if the watch says stop
template <class T>
streaming_report transform_checkpoint(io::checkpoint const& source, transform_parameters<eigen_matrix<T>>& p,
                                      std::filesystem::path const& directory,
                                      streaming_options const& options, streaming_watch const& watch = {}) {
    char const* const api = "transform_checkpoint";
    detail::require_local_options(options.local, api);
    if (options.sample_rows == 0 || options.sample_layers == 0)
        throw std::invalid_argument(std::string(api) + ": samples of " + std::to_string(options.sample_rows) +
                                    " rows of " + std::to_string(options.sample_layers) +
                                    " blocks, expected at least 1 of both");
    if (p.chosen.token_scale)
        throw std::invalid_argument(std::string(api) +
                                    ": S_n runs online, expected transforms that merge, or T_d");
    return detail::streamed_stage<T>(source, p, options, watch).run(directory);
}

}  // namespace commutant
