// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Gives a model outliers without changing what it computes: the library's own merges, run against their purpose. A model
// as small as the bundled one grows few outliers by itself, and quantises better than large models do.
#include <CLI/CLI.hpp>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <commutant/core/random.hpp>
#include <commutant/merge/plan.hpp>
#include <commutant/recipes/fptquant.hpp>

#include "model_folder.hpp"

namespace cm = commutant;
namespace io = commutant::io;

namespace {

using exact = cm::eigen_matrix<double>;
using rough_plan =
    cm::plan<cm::at<cm::sites::query_key, cm::scaled_rotation>, cm::at<cm::sites::value_output, cm::dense>,
             cm::at<cm::sites::up_down, cm::channel_scale>,
             cm::at<cm::sites::residual_stream, cm::orthogonal>>;

/// Largest factor, up and down, that each site's channels are scaled by.
struct roughness {
    double key = 4;
    double value = 3;
    double up = 10;
    double gain = 3;
};

/// exp of uniform numbers: between 1 / largest and largest.
double spread(cm::random_source& random, double largest) {
    return std::exp((2 * random.next_unit() - 1) * std::log(largest));
}

/// Sums x^T x over everything that the sub-blocks read.
struct second_moment_tap {
    exact::storage* sum;
    template <class M> M operator()(cm::location where, std::size_t, M x) const {
        if (where == cm::location::attention_input || where == cm::location::ffn_input)
            sum->noalias() += x.values.transpose() * x.values;
        return x;
    }
};

/// Principal axes of the normalised residual stream as columns, the strongest first: features in this basis differ in size
/// as much as those in any basis can. Gains must be folded.
exact principal_axes(cm::decoder<exact> const& m, std::filesystem::path const& model,
                     std::filesystem::path const& text) {
    auto const dim = static_cast<Eigen::Index>(m.config.model_dim);
    exact::storage sum = exact::storage::Zero(dim, dim);
    second_moment_tap tap{&sum};
    auto const tokenizer = io::bpe_tokenizer::open(model / "tokenizer.json");
    cm::runner<exact> const run(m);
    auto const windows =
        io::reference_windows(io::read_corpus(text), m.config.max_positions, bundled::bos,
                              [&](std::string_view s) { return tokenizer.encode(s); }, {20000, 200});
    for (auto const& window : windows) (void)run.logits(window, tap);
    Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> const axes(sum);
    return exact(axes.eigenvectors().rowwise().reverse());
}

exact random_rotation(cm::random_source& random, std::size_t n) {
    cm::parameter_source<double> source(random);
    Eigen::HouseholderQR<Eigen::MatrixXd> const qr(cm::parameter_matrix<exact>(source, n, n, 0).values);
    return exact(Eigen::MatrixXd(qr.householderQ()));
}

cm::plan_transforms<rough_plan, exact> rough_transforms(cm::model_config const& c, exact axes,
                                                        roughness const& r, cm::random_source& random) {
    cm::plan_transforms<rough_plan, exact> t;
    for (std::size_t i = 0; i < c.n_layers; ++i) {
        cm::layer_transforms<rough_plan, exact> l;
        for (std::size_t g = 0; g < c.n_kv_heads; ++g) {
            std::vector<double> scale(c.rotary_dim / 2), angle(c.rotary_dim / 2, 0.0);
            for (double& s : scale) s = spread(random, r.key);
            l.query_key.push_back(cm::scaled_rotation::from_polar<exact>(
                std::span<double const>(scale), std::span<double const>(angle), c.rope_pairing, c.head_dim));
            exact factors(1, c.head_dim);
            for (double& s : factors.elements()) s = spread(random, r.value);
            l.value_output.push_back(cm::dense_map<exact>::from_matrix(
                scale_columns(random_rotation(random, c.head_dim), factors)));
        }
        exact factors(1, c.ffn_dim);
        for (double& s : factors.elements()) s = spread(random, r.up);
        l.up_down = cm::diagonal<cm::channel_scale, exact>::from_parameters(factors);
        t.layers.push_back(std::move(l));
    }
    t.residual_stream = {std::move(axes)};
    return t;
}

/// Takes gains out of the linears behind a norm: the opposite of folding them.
void unfold_gain(exact& gain, std::span<cm::linear<exact>* const> readers, std::size_t dim, double largest,
                 cm::random_source& random) {
    gain = exact(1, dim);
    for (double& x : gain.elements()) x = spread(random, largest);
    for (auto* reader : readers) cm::fold_gain(reciprocal(gain), *reader);
}

void run(std::filesystem::path const& model, std::filesystem::path const& data,
         std::filesystem::path const& out, roughness const& r) {
    auto m = cm::load_decoder<exact>(io::checkpoint::open(model));
    cm::random_source random(4);
    for (auto& l : m.layers) cm::fold_gains(l);
    cm::fold_gain(m.final_norm, m.lm_head);
    m.final_norm = exact();
    auto const transforms =
        rough_transforms(m.config, principal_axes(m, model, data / "train.txt"), r, random);
    cm::fold_plan(transforms, m);
    std::size_t const dim = m.config.model_dim;
    for (auto& l : m.layers) {
        unfold_gain(l.attention_norm, std::vector{&l.q_proj, &l.k_proj, &l.v_proj}, dim, r.gain, random);
        unfold_gain(l.ffn_norm, std::vector{&l.gate_proj, &l.up_proj}, dim, r.gain, random);
    }
    unfold_gain(m.final_norm, std::vector{&m.lm_head}, dim, r.gain, random);
    bundled::write_model(out, m, model / "tokenizer.json");
    for (char const* text : {"calib.txt", "eval.txt"}) {
        auto const before = bundled::evaluate(model, data / text),
                   after = bundled::evaluate(out, data / text);
        std::printf("%-9s %.4f nats per token before, %.4f after\n", text, before.per_token(),
                    after.per_token());
    }
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Gives a model outliers without changing what it computes");
    std::filesystem::path model, data, out;
    roughness r;
    app.add_option("model", model, "folder that train_model has written")
        ->required()
        ->check(CLI::ExistingDirectory);
    app.add_option("data", data, "folder that make_text has filled")
        ->required()
        ->check(CLI::ExistingDirectory);
    app.add_option("out", out, "folder for the rough model; it must not exist")
        ->required()
        ->check(CLI::NonexistentPath);
    app.add_option("--key", r.key, "largest scale of a RoPE pair of the keys")
        ->capture_default_str()
        ->check(CLI::Range(1.0, 100.0));
    app.add_option("--value", r.value, "largest stretch of a direction of the values")
        ->capture_default_str()
        ->check(CLI::Range(1.0, 10.0));
    app.add_option("--up", r.up, "largest scale of a feature of up_proj")
        ->capture_default_str()
        ->check(CLI::Range(1.0, 100.0));
    app.add_option("--gain", r.gain, "largest norm gain")
        ->capture_default_str()
        ->check(CLI::Range(1.0, 100.0));
    CLI11_PARSE(app, argc, argv);
    try {
        run(model, data, out, r);
    } catch (std::exception const& error) {
        std::fprintf(stderr, "roughen_model: %s\n", error.what());
        return 2;
    }
    return 0;
}
