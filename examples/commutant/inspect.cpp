// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// commutant inspect: what a model is, and what may be done to it.

#include <iostream>
#include <map>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include <commutant/recipes/quantized_config.hpp>
#include <commutant/transforms/hadamard_order.hpp>

#include "command.hpp"
#include "input.hpp"
#include "output.hpp"
#include "validity.hpp"

namespace program {
namespace {

struct inspect_options {
    std::string model{};
    std::string tokenizer{};
    json_output output{};
};

char const* family_name(cm::model_family family) {
    switch (family) {
        case cm::model_family::llama:
            return "llama";
        case cm::model_family::mistral:
            return "mistral";
        case cm::model_family::qwen2:
            return "qwen2";
        case cm::model_family::qwen3:
            return "qwen3";
    }
    return "unknown";
}

char const* scaling_name(cm::rope_scaling::kind kind) {
    switch (kind) {
        case cm::rope_scaling::kind::none:
            return "none";
        case cm::rope_scaling::kind::linear:
            return "linear";
        case cm::rope_scaling::kind::llama3:
            return "llama3";
        case cm::rope_scaling::kind::yarn:
            return "yarn";
    }
    return "unknown";
}

json geometry_json(cm::model_config const& c) {
    return {{"family", family_name(c.family)},
            {"n_layers", c.n_layers},
            {"model_dim", c.model_dim},
            {"ffn_dim", c.ffn_dim},
            {"n_heads", c.n_heads},
            {"n_kv_heads", c.n_kv_heads},
            {"n_rep", c.n_rep()},
            {"head_dim", c.head_dim},
            {"rotary_dim", c.rotary_dim},
            {"rope_pairing", c.rope_pairing == cm::pairing::half_split ? "half_split" : "interleaved"},
            {"rope_theta", c.rope_theta},
            {"rope_scaling", scaling_name(c.scaling.method)},
            {"vocab_size", c.vocab_size},
            {"max_positions", c.max_positions},
            {"rms_norm_eps", c.rms_norm_eps},
            {"tied_head", c.tied_head},
            {"qkv_bias", c.qkv_bias},
            {"o_bias", c.o_bias},
            {"mlp_bias", c.mlp_bias},
            {"qk_norm", c.qk_norm}};
}

json hadamard_json(cm::model_config const& c) {
    json r = json::object();
    for (auto const& [name, dim] : std::initializer_list<std::pair<char const*, std::size_t>>{
             {"model_dim", c.model_dim}, {"head_dim", c.head_dim}, {"ffn_dim", c.ffn_dim}}) {
        auto const whole = cm::find_hadamard_order(dim);
        r[name] = {{"dim", dim}, {"block", cm::largest_power_of_two_divisor(dim)}};
        r[name]["core"] = whole ? json(whole->core) : json(nullptr);
        r[name]["power_of_two"] = whole ? json(whole->power_of_two) : json(nullptr);
    }
    return r;
}

/// Tensors, elements and types of the weights.
json tensors_json(cm::io::checkpoint const& source) {
    std::map<std::string, std::size_t> types;
    std::size_t parameters = 0;
    for (auto const& name : source.names()) {
        parameters += source.size(name);
        ++types[std::string(cm::io::dtype_name(source.storage_type(name)))];
    }
    return {{"count", source.names().size()}, {"parameters", parameters}, {"types", types}};
}

json tokenizer_json(fs::path const& directory, cm::model_config const& c, std::string const& named) {
    auto const path =
        named.empty() ? cm::io::find_tokenizer(directory, c.vocab_size) : std::optional<fs::path>(named);
    if (!path) return nullptr;
    auto const tokenizer = cm::io::tokenizer::open(*path);
    tokenizer.require_vocabulary(c.vocab_size);
    return {{"path", path->string()}, {"vocab_size", tokenizer.vocab_size()}};
}

void print(json const& r) {
    json const& g = r.at("geometry");
    table facts({"model", r.at("model").get<std::string>()});
    auto const add = [&](char const* name, std::string const& value) { facts.add({name, value}); };
    auto const text = [&](char const* key) { return g.at(key).dump(); };
    add("family", g.at("family").get<std::string>());
    add("layers", text("n_layers"));
    add("model_dim, ffn_dim", text("model_dim") + ", " + text("ffn_dim"));
    add("heads",
        text("n_heads") + " query, " + text("n_kv_heads") + " key/value, head_dim " + text("head_dim"));
    add("RoPE", text("rotary_dim") + " features, " + g.at("rope_pairing").get<std::string>() + ", theta " +
                    text("rope_theta") + ", scaling " + g.at("rope_scaling").get<std::string>());
    add("vocabulary",
        text("vocab_size") + (g.at("tied_head").get<bool>() ? ", head tied" : ", head of its own"));
    add("positions", text("max_positions"));
    add("eps", text("rms_norm_eps"));
    std::string biases;
    for (char const* key : {"qkv_bias", "o_bias", "mlp_bias"})
        if (g.at(key).get<bool>()) biases += (biases.empty() ? "" : ", ") + std::string(key);
    add("biases", biases.empty() ? "none" : biases);
    add("q/k norm", g.at("qk_norm").get<bool>() ? "yes" : "no");
    if (r.contains("tensors")) {
        json const& t = r.at("tensors");
        std::string types;
        for (auto const& [type, count] : t.at("types").items())
            types += (types.empty() ? "" : ", ") + count.dump() + " " + type;
        add("tensors",
            t.at("count").dump() + " (" + types + "), " + t.at("parameters").dump() + " parameters");
    }
    if (r.contains("quantized")) {
        json const& q = r.at("quantized");
        add("quantised", q.at("bits").get<std::string>() + ", " + q.at("coverage").get<std::string>());
    }
    json const& tok = r.at("tokenizer");
    add("tokenizer", tok.is_null() ? "none beside the model" : tok.at("path").get<std::string>());
    facts.print_left();

    std::cout << '\n';
    table orders({"Hadamard", "features", "whole", "blocks"});
    for (auto const& [name, o] : r.at("hadamard").items())
        orders.add(
            {name, o.at("dim").dump(),
             o.at("core").is_null() ? "none" : o.at("core").dump() + " * " + o.at("power_of_two").dump(),
             o.at("block").dump()});
    orders.print_left();

    std::cout << '\n';
    table transforms({"transform", "kind", "site", "at inference", "exact here", "why not"});
    for (auto const& t : r.at("transforms"))
        transforms.add({t.at("symbol").get<std::string>(), t.at("kind").get<std::string>(),
                        t.at("site").get<std::string>(), t.at("at_inference").get<std::string>(),
                        t.at("exact").get<bool>() ? "yes (proved)" : "no",
                        t.at("reason").get<std::string>()});
    transforms.print_left();
}

int run_inspect(inspect_options const& options) {
    options.output.require_writable();
    fs::path const path = model_path(options.model);
    json r{{"model", path.string()}};
    cm::model_config config;
    if (cm::is_quantized_folder(path)) {
        auto const quantized = cm::read_quantized_config(path);
        config = quantized.model;
        r["geometry"] = geometry_json(config);
        r["quantized"] = cm::detail::settings_to_json(quantized.settings);
        r["quantized"]["online"] = cm::detail::online_to_json(quantized.online);
        r["tokenizer"] = tokenizer_json(path, config, options.tokenizer);
    } else {
        auto const source = cm::io::checkpoint::open(path);
        config = source.config();
        r["geometry"] = geometry_json(config);
        r["tensors"] = tensors_json(source);
        r["tokenizer"] = tokenizer_json(source.directory(), config, options.tokenizer);
    }
    r["hadamard"] = hadamard_json(config);
    r["transforms"] = json::array();
    for (auto const& row : validity_of(config))
        r["transforms"].push_back({{"symbol", row.symbol},
                                   {"kind", row.kind},
                                   {"site", row.site},
                                   {"between", row.between},
                                   {"at_inference", row.at_inference},
                                   {"exact", row.exact},
                                   {"reason", reason_against(row, config)}});
    options.output.prepare(r).commit();
    if (!options.output.owns_stdout()) print(r);
    return done;
}

}  // namespace

void add_inspect(CLI::App& app, chosen_command& chosen) {
    auto const options = std::make_shared<inspect_options>();
    CLI::App* const command =
        app.add_subcommand("inspect", "what a model is, and which transforms keep its function exactly");
    command->footer(
        "The column \"exact here\" is the outcome of proofs that ran in exact arithmetic while this program "
        "was compiled:\n"
        "a decoder of the model's family, before and after the merge, in GF(2^61 - 1).\n\n"
        "  commutant inspect FOLDER");
    command->add_option("MODEL", options->model,
                        "Hugging Face folder, llama2.c .bin, or a folder of quantize --out");
    command->add_option("--tokenizer", options->tokenizer, "check that this tokenizer fits the model");
    options->output.add_to(*command);
    command->callback([options, &chosen] { chosen = [options] { return run_inspect(*options); }; });
}

}  // namespace program
