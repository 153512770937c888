# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# Installs headers and the files behind find_package(commutant CONFIG). Each component has an export file of its own,
# so that core can be used where Eigen is not installed.
include(CMakePackageConfigHelpers)

set(commutant_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/commutant")
foreach(component IN LISTS commutant_components)
    install(TARGETS commutant_${component} EXPORT commutant_${component} FILE_SET HEADERS)
    install(
        EXPORT commutant_${component}
        NAMESPACE commutant::
        FILE commutant-${component}.cmake
        DESTINATION "${commutant_package_dir}"
    )
endforeach()

configure_package_config_file(
    "${CMAKE_CURRENT_LIST_DIR}/commutantConfig.cmake.in"
    "${PROJECT_BINARY_DIR}/commutantConfig.cmake"
    INSTALL_DESTINATION "${commutant_package_dir}"
)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(
    "${PROJECT_BINARY_DIR}/commutantConfigVersion.cmake"
    COMPATIBILITY SameMinorVersion
    ARCH_INDEPENDENT
)
install(
    FILES "${PROJECT_BINARY_DIR}/commutantConfig.cmake" "${PROJECT_BINARY_DIR}/commutantConfigVersion.cmake"
    DESTINATION "${commutant_package_dir}"
)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
