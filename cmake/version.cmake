# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# Reads MAJOR.MINOR.PATCH from the version macros of a header, so that the number is written in one place.
function(commutant_read_version header result)
    set(parts "")
    foreach(part IN ITEMS MAJOR MINOR PATCH)
        file(STRINGS "${header}" line REGEX "^#define COMMUTANT_VERSION_${part} [0-9]+$")
        if(NOT line MATCHES " ([0-9]+)$")
            message(FATAL_ERROR "version: ${header} has no line '#define COMMUTANT_VERSION_${part} <number>'")
        endif()
        list(APPEND parts "${CMAKE_MATCH_1}")
    endforeach()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${header}")
    list(JOIN parts "." version)
    set("${result}" "${version}" PARENT_SCOPE)
endfunction()
