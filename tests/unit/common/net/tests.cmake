# The unit tests of common/net.
unit_test(common/net/test_outgoing LIBRARIES common_net PkgConfig::LIBEVENT)
unit_test(common/net/test_outgoing_reach LIBRARIES common_net PkgConfig::LIBEVENT)
unit_test(common/net/test_outgoing_calls LIBRARIES common_net PkgConfig::LIBEVENT)
unit_test(common/net/test_answer LIBRARIES common_net)
unit_test(common/net/test_header_lines LIBRARIES common_net)
unit_test(common/net/test_sockets LIBRARIES common_net PkgConfig::LIBEVENT)
unit_test(common/net/test_guard LIBRARIES common_net SOURCES common/net/messages.c)
unit_test(common/net/test_tls_pair LIBRARIES common_net PkgConfig::LIBEVENT PkgConfig::LIBSSL PkgConfig::LIBCRYPTO
  SOURCES common/net/tls_client.c)
unit_test(common/net/test_tls LIBRARIES common_net PkgConfig::LIBEVENT PkgConfig::LIBSSL PkgConfig::LIBCRYPTO
  SOURCES common/net/messages.c common/net/tls_client.c common/net/wire.c)
unit_test(common/net/test_tls_certificates LIBRARIES common_net PkgConfig::LIBEVENT PkgConfig::LIBSSL PkgConfig::LIBCRYPTO
  SOURCES common/net/messages.c common/net/tls_client.c common/net/wire.c)
unit_test(common/net/test_incoming LIBRARIES common_net PkgConfig::LIBEVENT SOURCES common/net/wire.c)
unit_test(common/net/test_incoming_bodies LIBRARIES common_net PkgConfig::LIBEVENT SOURCES common/net/wire.c)
unit_test(common/net/test_incoming_refusals LIBRARIES common_net PkgConfig::LIBEVENT SOURCES common/net/wire.c)
unit_test(common/net/test_incoming_streams LIBRARIES common_net PkgConfig::LIBEVENT SOURCES common/net/wire.c)
unit_test(common/net/test_incoming_connections LIBRARIES common_net PkgConfig::LIBEVENT SOURCES common/net/wire.c)
unit_test(common/net/test_front LIBRARIES common_net PkgConfig::LIBEVENT SOURCES common/net/wire.c)
unit_test(common/net/test_handover LIBRARIES common_net)
