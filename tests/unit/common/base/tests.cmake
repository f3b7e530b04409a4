# Unit tests of common/base, one program per module.
foreach(module error bytes arena escape json xml clock log option id crypto signature file archive exposition budget)
  unit_test(common/base/test_${module} LIBRARIES common_base)
endforeach()
