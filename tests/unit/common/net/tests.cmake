# The unit tests of common/net.
foreach(noun "" _reach _calls)
  unit_test(common/net/test_outgoing${noun} LIBRARIES common_net PkgConfig::LIBEVENT)
endforeach()
unit_test(common/net/test_answer LIBRARIES common_net)
unit_test(common/net/test_header_lines LIBRARIES common_net)
unit_test(common/net/test_sockets LIBRARIES common_net PkgConfig::LIBEVENT)
unit_test(common/net/test_guard LIBRARIES common_net SOURCES common/net/messages.c)
unit_test(common/net/test_tls_pair LIBRARIES common_net PkgConfig::LIBEVENT PkgConfig::LIBSSL PkgConfig::LIBCRYPTO
  SOURCES common/net/tls_client.c)
foreach(noun "" _certificates)
  unit_test(common/net/test_tls${noun} LIBRARIES common_net PkgConfig::LIBEVENT PkgConfig::LIBSSL PkgConfig::LIBCRYPTO
    SOURCES common/net/messages.c common/net/tls_client.c common/net/wire.c)
endforeach()
foreach(noun "" _bodies _refusals _streams _connections)
  unit_test(common/net/test_incoming${noun} LIBRARIES common_net PkgConfig::LIBEVENT SOURCES common/net/wire.c)
endforeach()
unit_test(common/net/test_front LIBRARIES common_net PkgConfig::LIBEVENT SOURCES common/net/wire.c)
unit_test(common/net/test_handover LIBRARIES common_net)
