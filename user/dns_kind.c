/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_kind.h"

#include "dns_msg.h"

enum dns_kind dns_kind_of(uint16_t type)
{
	switch (type) {
	case DNS_TYPE_A:
	case DNS_TYPE_AAAA:
		return DNS_KIND_ADDRESSES;
	case DNS_TYPE_SVCB:
	case DNS_TYPE_HTTPS:
		return DNS_KIND_SERVICES;
	case DNS_TYPE_NS:
	case DNS_TYPE_CNAME:
	case DNS_TYPE_SOA:
	case DNS_TYPE_MB:
	case DNS_TYPE_MG:
	case DNS_TYPE_MR:
	case DNS_TYPE_PTR:
	case DNS_TYPE_HINFO:
	case DNS_TYPE_MINFO:
	case DNS_TYPE_MX:
	case DNS_TYPE_TXT:
	case DNS_TYPE_RP:
	case DNS_TYPE_AFSDB:
	case DNS_TYPE_RT:
	case DNS_TYPE_KEY:
	case DNS_TYPE_PX:
	case DNS_TYPE_LOC:
	case DNS_TYPE_SRV:
	case DNS_TYPE_NAPTR:
	case DNS_TYPE_KX:
	case DNS_TYPE_CERT:
	case DNS_TYPE_DNAME:
	case DNS_TYPE_DS:
	case DNS_TYPE_SSHFP:
	case DNS_TYPE_NSEC:
	case DNS_TYPE_DNSKEY:
	case DNS_TYPE_DHCID:
	case DNS_TYPE_NSEC3:
	case DNS_TYPE_NSEC3PARAM:
	case DNS_TYPE_TLSA:
	case DNS_TYPE_SMIMEA:
	case DNS_TYPE_CDS:
	case DNS_TYPE_CDNSKEY:
	case DNS_TYPE_OPENPGPKEY:
	case DNS_TYPE_CSYNC:
	case DNS_TYPE_ZONEMD:
	case DNS_TYPE_SPF:
	case DNS_TYPE_EUI48:
	case DNS_TYPE_EUI64:
	case DNS_TYPE_URI:
	case DNS_TYPE_CAA:
		return DNS_KIND_PASSED;
	default:
		return DNS_KIND_UNKNOWN;
	}
}
