// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "reference_files.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <queue>
#include <stdexcept>

namespace reference {
namespace {

using nlohmann::json;

// Takes values one after the other from the bytes of a file; asking for more than there is names the file.
class byte_reader {
public:
    byte_reader(std::string_view bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

    [[nodiscard]] std::string_view bytes(std::uint64_t count) {
        if (count > remaining()) {
            throw std::runtime_error(name_ + ": ends at byte " + std::to_string(bytes_.size()) +
                                     ", expected " + std::to_string(count) + " more after byte " +
                                     std::to_string(at_));
        }
        const std::string_view taken = bytes_.substr(at_, count);
        at_ += count;
        return taken;
    }

    template <class T> [[nodiscard]] T value() {
        T v;
        std::memcpy(&v, bytes(sizeof(T)).data(), sizeof(T));
        return v;
    }

    [[nodiscard]] std::vector<double> floats(std::uint64_t count) {
        const std::string_view raw = bytes(count * sizeof(float));
        std::vector<double> values(count);
        for (std::size_t i = 0; i < count; ++i) {
            float f;
            std::memcpy(&f, raw.data() + i * sizeof f, sizeof f);
            values[i] = f;
        }
        return values;
    }

    [[nodiscard]] std::uint64_t remaining() const { return bytes_.size() - at_; }

private:
    std::string_view bytes_;
    std::string name_;
    std::size_t at_ = 0;
};

double from_bfloat16(std::uint16_t bits) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// 1 sign, 5 exponent (bias 15), 10 fraction bits.
double from_float16(std::uint16_t bits) {
    const int exponent = bits >> 10 & 31;
    const int fraction = bits & 1023;
    double magnitude = 0.0;
    if (exponent == 31) {
        magnitude = fraction == 0 ? HUGE_VAL : std::nan("");
    } else if (exponent == 0) {
        magnitude = std::ldexp(fraction, -24);
    } else {
        magnitude = std::ldexp(1024 + fraction, exponent - 25);
    }
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

template <class T> T stored(const char* at) {
    T v;
    std::memcpy(&v, at, sizeof v);
    return v;
}

std::size_t dtype_bytes(const std::string& dtype, const std::string& where) {
    if (dtype == "F16" || dtype == "BF16") {
        return 2;
    }
    if (dtype == "F32" || dtype == "I32") {
        return 4;
    }
    if (dtype == "I64") {
        return 8;
    }
    throw std::runtime_error(where + " has dtype " + dtype + ", expected F32, F16, BF16, I32 or I64");
}

double stored_as_double(const std::string& dtype, const char* at) {
    if (dtype == "F16") {
        return from_float16(stored<std::uint16_t>(at));
    }
    if (dtype == "BF16") {
        return from_bfloat16(stored<std::uint16_t>(at));
    }
    if (dtype == "F32") {
        return stored<float>(at);
    }
    if (dtype == "I32") {
        return stored<std::int32_t>(at);
    }
    return static_cast<double>(stored<std::int64_t>(at));
}

rope_scaling read_rope_scaling(const json& j, const std::string& where, double max_positions) {
    rope_scaling s;
    if (j.is_null()) {
        return s;
    }
    const std::string type = j.contains("rope_type") ? j.at("rope_type").get<std::string>()
                                                     : j.value("type", std::string("default"));
    if (type == "default") {
        return s;
    }
    if (type != "linear" && type != "llama3" && type != "yarn") {
        throw std::runtime_error(where + ": rope_type " + type +
                                 ", expected default, linear, llama3 or yarn");
    }
    s.kind = type == "linear" ? rope_kind::linear : type == "llama3" ? rope_kind::llama3 : rope_kind::yarn;
    s.factor = j.at("factor").get<double>();
    s.original_max_positions = j.value("original_max_position_embeddings", max_positions);
    s.low_freq_factor = j.value("low_freq_factor", s.low_freq_factor);
    s.high_freq_factor = j.value("high_freq_factor", s.high_freq_factor);
    s.beta_fast = j.value("beta_fast", s.beta_fast);
    s.beta_slow = j.value("beta_slow", s.beta_slow);
    s.truncate = j.value("truncate", s.truncate);
    s.mscale = j.value("mscale", 0.0);
    s.mscale_all_dim = j.value("mscale_all_dim", 0.0);
    if (j.contains("attention_factor") && !j.at("attention_factor").is_null()) {
        s.attention_factor = j.at("attention_factor").get<double>();
    }
    return s;
}

config read_config(const std::string& path) {
    const json j = json::parse(read_file(path));
    const std::string type = j.at("model_type").get<std::string>();
    if (type != "llama" && type != "mistral" && type != "qwen2" && type != "qwen3") {
        throw std::runtime_error(path + ": model_type " + type + ", expected llama, mistral, qwen2 or qwen3");
    }
    if (j.value("hidden_act", "silu") != "silu") {
        throw std::runtime_error(path + ": hidden_act " + j.at("hidden_act").get<std::string>() +
                                 ", expected silu");
    }
    config c;
    c.n_layers = j.at("num_hidden_layers").get<std::size_t>();
    c.model_dim = j.at("hidden_size").get<std::size_t>();
    c.ffn_dim = j.at("intermediate_size").get<std::size_t>();
    c.n_heads = j.at("num_attention_heads").get<std::size_t>();
    c.n_kv_heads = j.value("num_key_value_heads", c.n_heads);
    c.head_dim = j.contains("head_dim") ? j.at("head_dim").get<std::size_t>() : c.model_dim / c.n_heads;
    c.vocab_size = j.at("vocab_size").get<std::size_t>();
    c.seq_len = j.at("max_position_embeddings").get<std::size_t>();
    c.rms_norm_eps = j.at("rms_norm_eps").get<double>();
    c.pairing = rope_pairing::half_split;
    // Newer files keep everything about RoPE in rope_parameters.
    const json& rope = j.contains("rope_parameters") ? j.at("rope_parameters") : j;
    c.rope_theta = rope.at("rope_theta").get<double>();
    c.rotary_dim =
        static_cast<std::size_t>(static_cast<double>(c.head_dim) * rope.value("partial_rotary_factor", 1.0));
    const json scaling = j.contains("rope_parameters") ? rope : j.value("rope_scaling", json());
    c.scaling = read_rope_scaling(scaling, path, static_cast<double>(c.seq_len));
    return c;
}

}  // namespace

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        throw std::runtime_error(path + ": cannot be opened");
    }
    return std::string(std::istreambuf_iterator<char>(in), {});
}

model read_llama2c(const std::string& path) {
    const std::string bytes = read_file(path);
    byte_reader in(bytes, path);
    std::int32_t
        header[7];  // dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab (negative: untied), seq_len
    for (std::int32_t& h : header) {
        h = in.value<std::int32_t>();
    }
    for (const int i : {0, 1, 2, 3, 4, 6}) {
        if (header[i] <= 0 || header[5] == 0 || header[3] > header[0]) {
            throw std::runtime_error(path +
                                     ": not a version 0 llama2.c header, expected seven positive sizes");
        }
    }
    model m;
    config& c = m.geometry;
    c.model_dim = static_cast<std::size_t>(header[0]);
    c.ffn_dim = static_cast<std::size_t>(header[1]);
    c.n_layers = static_cast<std::size_t>(header[2]);
    c.n_heads = static_cast<std::size_t>(header[3]);
    c.n_kv_heads = static_cast<std::size_t>(header[4]);
    c.vocab_size = static_cast<std::size_t>(std::abs(header[5]));
    c.seq_len = static_cast<std::size_t>(header[6]);
    c.head_dim = c.model_dim / c.n_heads;
    c.rotary_dim = c.head_dim;
    c.pairing = rope_pairing::interleaved;

    weights& w = m.values;
    w.layers.resize(std::min<std::size_t>(c.n_layers, bytes.size()));
    const std::size_t q = c.n_heads * c.head_dim;
    const std::size_t kv = c.n_kv_heads * c.head_dim;
    const auto each_layer = [&](std::vector<double> layer::*member, std::size_t count) {
        for (layer& l : w.layers) {
            l.*member = in.floats(count);
        }
    };
    w.embedding = in.floats(c.vocab_size * c.model_dim);
    each_layer(&layer::attention_norm, c.model_dim);
    each_layer(&layer::q_proj, q * c.model_dim);
    each_layer(&layer::k_proj, kv * c.model_dim);
    each_layer(&layer::v_proj, kv * c.model_dim);
    each_layer(&layer::o_proj, c.model_dim * q);
    each_layer(&layer::ffn_norm, c.model_dim);
    each_layer(&layer::gate_proj, c.ffn_dim * c.model_dim);
    each_layer(&layer::down_proj, c.model_dim * c.ffn_dim);
    each_layer(&layer::up_proj, c.ffn_dim * c.model_dim);
    w.final_norm = in.floats(c.model_dim);
    (void)in.floats(c.seq_len * c.head_dim);  // two RoPE tables of [seq_len, head_dim / 2] that nobody reads
    if (header[5] < 0) {
        w.lm_head = in.floats(c.vocab_size * c.model_dim);
    }
    if (in.remaining() != 0) {
        throw std::runtime_error(path + ": has " + std::to_string(in.remaining()) +
                                 " bytes behind the last weight, expected none");
    }
    return m;
}

std::map<std::string, tensor> read_safetensors(const std::string& path) {
    const std::string bytes = read_file(path);
    byte_reader in(bytes, path);
    const std::uint64_t header_bytes = in.value<std::uint64_t>();
    const json header = json::parse(in.bytes(header_bytes));
    const std::string_view data = in.bytes(in.remaining());

    std::map<std::string, tensor> tensors;
    for (const auto& [name, entry] : header.items()) {
        if (name == "__metadata__") {
            continue;
        }
        const std::string where = path + ": tensor " + name;
        const std::string dtype = entry.at("dtype").get<std::string>();
        const std::size_t width = dtype_bytes(dtype, where);
        const std::uint64_t begin = entry.at("data_offsets").at(0).get<std::uint64_t>();
        const std::uint64_t end = entry.at("data_offsets").at(1).get<std::uint64_t>();
        tensor t;
        t.shape = entry.at("shape").get<std::vector<std::size_t>>();
        std::size_t count = 1;
        for (const std::size_t extent : t.shape) {
            count *= extent;
        }
        if (begin > end || end > data.size() || end - begin != count * width) {
            throw std::runtime_error(where + " has data_offsets " + std::to_string(begin) + " to " +
                                     std::to_string(end) + ", expected " + std::to_string(count * width) +
                                     " bytes inside the " + std::to_string(data.size()) + " of the file");
        }
        t.values.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            t.values.push_back(stored_as_double(dtype, data.data() + begin + i * width));
        }
        tensors.emplace(name, std::move(t));
    }
    return tensors;
}

model read_hugging_face(const std::string& folder) {
    model m;
    m.geometry = read_config(folder + "/config.json");
    const std::string path = folder + "/model.safetensors";
    std::map<std::string, tensor> tensors = read_safetensors(path);

    // Takes a tensor out of the map, so that what is left at the end is what nobody read.
    const auto take_if_there = [&](const std::string& name) {
        const auto node = tensors.extract(name);
        return node.empty() ? std::vector<double>{} : std::move(node.mapped().values);
    };
    const auto take = [&](const std::string& name) {
        if (!tensors.contains(name)) {
            throw std::runtime_error(path + ": tensor " + name + " is missing");
        }
        return take_if_there(name);
    };
    weights& w = m.values;
    w.embedding = take("model.embed_tokens.weight");
    w.final_norm = take("model.norm.weight");
    w.lm_head = take_if_there("lm_head.weight");
    for (std::size_t n = 0; n < m.geometry.n_layers; ++n) {
        const std::string at = "model.layers." + std::to_string(n) + ".";
        layer l;
        l.attention_norm = take(at + "input_layernorm.weight");
        l.q_proj = take(at + "self_attn.q_proj.weight");
        l.k_proj = take(at + "self_attn.k_proj.weight");
        l.v_proj = take(at + "self_attn.v_proj.weight");
        l.o_proj = take(at + "self_attn.o_proj.weight");
        l.q_bias = take_if_there(at + "self_attn.q_proj.bias");
        l.k_bias = take_if_there(at + "self_attn.k_proj.bias");
        l.v_bias = take_if_there(at + "self_attn.v_proj.bias");
        l.o_bias = take_if_there(at + "self_attn.o_proj.bias");
        l.q_norm = take_if_there(at + "self_attn.q_norm.weight");
        l.k_norm = take_if_there(at + "self_attn.k_norm.weight");
        l.ffn_norm = take(at + "post_attention_layernorm.weight");
        l.gate_proj = take(at + "mlp.gate_proj.weight");
        l.up_proj = take(at + "mlp.up_proj.weight");
        l.down_proj = take(at + "mlp.down_proj.weight");
        l.gate_bias = take_if_there(at + "mlp.gate_proj.bias");
        l.up_bias = take_if_there(at + "mlp.up_proj.bias");
        l.down_bias = take_if_there(at + "mlp.down_proj.bias");
        w.layers.push_back(std::move(l));
    }
    if (!tensors.empty()) {
        throw std::runtime_error(path + ": tensor " + tensors.begin()->first + " is read by nobody");
    }
    return m;
}

llama2c_tokeniser::llama2c_tokeniser(const std::string& path, std::size_t vocab_size) {
    const std::string bytes = read_file(path);
    byte_reader in(bytes, path);
    (void)in.value<std::uint32_t>();  // longest piece
    for (std::size_t i = 0; i < vocab_size; ++i) {
        scores_.push_back(in.value<float>());
        const std::uint32_t length = in.value<std::uint32_t>();
        pieces_.emplace_back(in.bytes(length));
        index_.emplace(pieces_.back(), static_cast<int>(i));
    }
    if (in.remaining() != 0) {
        throw std::runtime_error(path + ": has more than the expected " + std::to_string(vocab_size) +
                                 " pieces");
    }
}

std::vector<int> llama2c_tokeniser::encode(std::string_view text) const {
    if (text.empty()) {
        return {};
    }
    const std::string padded = " " + std::string(text);

    // Characters: a lead byte and up to three continuation bytes (10xxxxxx).
    std::vector<int> tokens;
    for (std::size_t begin = 0; begin < padded.size();) {
        std::size_t end = begin + 1;
        while (end < padded.size() && end < begin + 4 && (padded[end] & 0xC0) == 0x80) {
            ++end;
        }
        const std::string character = padded.substr(begin, end - begin);
        if (const auto found = index_.find(character); found != index_.end()) {
            tokens.push_back(found->second);
        } else {
            for (const char byte : character) {
                tokens.push_back(static_cast<unsigned char>(byte) + 3);
            }
        }
        begin = end;
    }

    // Merges. Tokens stay in their places, linked to their neighbours; a merged-away place holds -1. The
    // queue yields the best score first and the leftmost of equals, as scanning all pairs each time would,
    // but in n log n steps. A candidate is stale when one of its two places changed since it was queued.
    struct candidate {
        float score;
        std::size_t left, right;
        int left_token, right_token, merged;
        bool operator<(const candidate& other) const {
            return score != other.score ? score < other.score : left > other.left;
        }
    };
    const std::size_t end = tokens.size();
    std::vector<std::size_t> next(end), previous(end);
    for (std::size_t i = 0; i < end; ++i) {
        next[i] = i + 1;
        previous[i] = i == 0 ? end : i - 1;
    }
    std::priority_queue<candidate> queue;
    const auto consider = [&](std::size_t left, std::size_t right) {
        if (left == end || right == end) {
            return;
        }
        const auto found = index_.find(pieces_[static_cast<std::size_t>(tokens[left])] +
                                       pieces_[static_cast<std::size_t>(tokens[right])]);
        if (found != index_.end()) {
            const float score = scores_[static_cast<std::size_t>(found->second)];
            queue.push({score, left, right, tokens[left], tokens[right], found->second});
        }
    };
    for (std::size_t i = 0; i < end; ++i) {
        consider(i, next[i]);
    }
    while (!queue.empty()) {
        const candidate best = queue.top();
        queue.pop();
        if (tokens[best.left] != best.left_token || tokens[best.right] != best.right_token) {
            continue;
        }
        tokens[best.left] = best.merged;
        tokens[best.right] = -1;
        next[best.left] = next[best.right];
        if (next[best.left] != end) {
            previous[next[best.left]] = best.left;
        }
        consider(previous[best.left], best.left);
        consider(best.left, next[best.left]);
    }
    std::erase(tokens, -1);
    return tokens;
}

}  // namespace reference
