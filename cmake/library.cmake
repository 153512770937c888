# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# commutant::core       standard library only
# commutant::commutant  adds Eigen and xsimd
# commutant::io         adds nlohmann-json: checkpoints, tokenisers, writers
# A target whose packages are missing is not made; core always is.
include(headers)
include(GNUInstallDirs)

set(commutant_include_dir "${PROJECT_SOURCE_DIR}/include")
commutant_sort_headers("${commutant_include_dir}" commutant_core_headers commutant_commutant_headers commutant_io_headers)

find_package(Eigen3 3.4 NO_MODULE QUIET)
find_package(xsimd 8.1 QUIET)
find_package(nlohmann_json 3.11 QUIET)

set(commutant_components core)
if(TARGET Eigen3::Eigen AND TARGET xsimd)
    list(APPEND commutant_components commutant)
    if(TARGET nlohmann_json::nlohmann_json)
        list(APPEND commutant_components io)
    endif()
endif()

foreach(component IN LISTS commutant_components)
    set(target "commutant_${component}")
    add_library(${target} INTERFACE)
    add_library(commutant::${component} ALIAS ${target})
    set_target_properties(${target} PROPERTIES EXPORT_NAME ${component})
    target_sources(
        ${target}
        INTERFACE FILE_SET HEADERS BASE_DIRS "${commutant_include_dir}" FILES ${commutant_${component}_headers}
    )
    target_compile_features(${target} INTERFACE cxx_std_20)
endforeach()

if(TARGET commutant_commutant)
    target_link_libraries(commutant_commutant INTERFACE commutant_core Eigen3::Eigen xsimd)
endif()
if(TARGET commutant_io)
    target_link_libraries(commutant_io INTERFACE commutant_commutant nlohmann_json::nlohmann_json)
endif()

# Tests, examples and benchmarks use all of it; this says what is missing instead of a failing link line later.
function(commutant_require_all_components who)
    if(NOT TARGET commutant_io)
        message(
            FATAL_ERROR
                "${who}: needs Eigen 3.4, xsimd 8.1 and nlohmann_json 3.11 (found: Eigen '${Eigen3_VERSION}', xsimd "
                "'${xsimd_VERSION}', nlohmann_json '${nlohmann_json_VERSION}'); "
                "install them or configure with -DCOMMUTANT_DEVELOPER_MODE=OFF"
        )
    endif()
endfunction()
