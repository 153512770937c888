// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// A consumer of everything: commutant::io brings nlohmann-json, and commutant::commutant with Eigen and xsimd.
#include <commutant/model/config.hpp>
#include <commutant/version.hpp>

#include <Eigen/Core>
#include <nlohmann/json.hpp>
#include <xsimd/xsimd.hpp>

int main() {
    commutant::model_config config;
    config.n_heads = 8;
    config.n_kv_heads = 2;
    nlohmann::json const json = {{"n_rep", config.n_rep()}};
    Eigen::VectorXf const ones = Eigen::VectorXf::Ones(json.at("n_rep").get<Eigen::Index>());
    xsimd::batch<float> const twos(2.0F);
    return ones.sum() * twos.get(0) == 8.0F ? 0 : 1;
}
