# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# commutant::core       standard library only
# commutant::commutant  adds Eigen, xsimd and the threads of the kernels
# commutant::io         adds nlohmann-json: checkpoints, tokenisers, writers
# A target whose packages are missing is not made; core always is.
include(headers)
include(GNUInstallDirs)

set(commutant_include_dir "${PROJECT_SOURCE_DIR}/include")
commutant_sort_headers("${commutant_include_dir}" commutant_core_headers commutant_commutant_headers commutant_io_headers)

set(commutant_eigen_version 3.4)
set(commutant_xsimd_version 8.1)
set(commutant_json_version 3.11)
find_package(Eigen3 ${commutant_eigen_version} NO_MODULE QUIET)
find_package(xsimd ${commutant_xsimd_version} QUIET)
find_package(nlohmann_json ${commutant_json_version} QUIET)
find_package(Threads QUIET)

set(commutant_components core)
if(TARGET Eigen3::Eigen AND TARGET xsimd AND TARGET Threads::Threads)
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
    target_link_libraries(commutant_commutant INTERFACE commutant_core Eigen3::Eigen Threads::Threads)
    # The include folder only: the target of Debian's libxsimd-dev 8.1 links a library 'xtl' that is not there.
    get_target_property(xsimd_include_dir xsimd INTERFACE_INCLUDE_DIRECTORIES)
    target_include_directories(
        commutant_commutant SYSTEM
        INTERFACE "$<BUILD_INTERFACE:${xsimd_include_dir}>"
                  "$<INSTALL_INTERFACE:$<TARGET_PROPERTY:xsimd,INTERFACE_INCLUDE_DIRECTORIES>>"
    )
endif()
if(TARGET commutant_io)
    target_link_libraries(commutant_io INTERFACE commutant_commutant nlohmann_json::nlohmann_json)
endif()

# Tests, examples and benchmarks use all of it; this says what is missing instead of a failing link line later.
function(commutant_require_all_components who)
    if(NOT TARGET commutant_io)
        message(
            FATAL_ERROR
                "${who}: needs Eigen ${commutant_eigen_version}, xsimd ${commutant_xsimd_version} and "
                "nlohmann_json ${commutant_json_version} (found: Eigen '${Eigen3_VERSION}', xsimd "
                "'${xsimd_VERSION}', nlohmann_json '${nlohmann_json_VERSION}'); "
                "install them or configure with -DCOMMUTANT_DEVELOPER_MODE=OFF"
        )
    endif()
endfunction()
