# Included by llama.cpp's own CMakeLists.txt right after its project() (CMAKE_PROJECT_llama.cpp_INCLUDE, see recipes.ts): the
# same program in less compile time. Most of the time goes into reading the same large headers once for each source file.

# In `ggml`, which computes, everything is compiled for speed (CMAKE_PROJECT_ggml_INCLUDE includes this file there, too).
if(PROJECT_NAME STREQUAL "ggml")
  set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")
  return()
endif()

# Several source files are compiled as one. llama.cpp does that itself for its models (target `llama`).
function(slm_network_compile_together)
  foreach(target llama-common mtmd)
    if(TARGET ${target})
      set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    endif()
  endforeach()
  if(TARGET mtmd) # these refuse to be compiled beside the library's own headers
    get_target_property(folder mtmd SOURCE_DIR)
    set_source_files_properties(${folder}/mtmd-helper.cpp ${folder}/mtmd-helper-gen.cpp TARGET_DIRECTORY mtmd
      PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
endfunction()
cmake_language(DEFER CALL slm_network_compile_together)
