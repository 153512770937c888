// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// A consumer of commutant::core: nothing but the standard library may be needed.
#include <commutant/model/config.hpp>
#include <commutant/version.hpp>

#include <iostream>
#include <string>

#ifdef EIGEN_WORLD_VERSION
#error "commutant::core must not include Eigen"
#endif

int main() {
    std::string const version = std::to_string(COMMUTANT_VERSION_MAJOR) + "." +
                                std::to_string(COMMUTANT_VERSION_MINOR) + "." +
                                std::to_string(COMMUTANT_VERSION_PATCH);
    if (version != PACKAGE_VERSION) {
        std::cerr << "version.hpp says " << version << ", the package " << PACKAGE_VERSION << '\n';
        return 1;
    }
    commutant::model_config config;
    config.n_heads = 8;
    config.n_kv_heads = 2;
    return config.n_rep() == 4 ? 0 : 1;
}
