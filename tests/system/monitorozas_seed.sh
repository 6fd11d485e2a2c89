#!/bin/sh
# Every curl command of the documentation of Monitorozás.hu, in its order. Only the base URL and the key are variables:
#   BASE=http://127.0.0.1:8080/api/v1 KEY=vdt_... tests/system/monitorozas_seed.sh
set -eu
: "${BASE:?}" "${KEY:?}"

said() {
    printf '\n\n=== %s\n' "$1"
}

said "me"
curl -i -X GET "$BASE/me" \
  -H "Authorization: Bearer $KEY"

said "devices"
curl -i -X GET "$BASE/devices" \
  -H "Authorization: Bearer $KEY"

said "create a web device"
curl -i -X POST "$BASE/devices/create" \
  -H "Authorization: Bearer $KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "target_type": "domain",
    "target_value": "google.com",
    "service_type": "web",
    "scheme": "https",
    "check_public_https": 1,
    "check_public_tls": 1,
    "expect_status": 200,
    "location": "API teszt"
  }'

said "create an SSH device"
curl -i -X POST "$BASE/devices/create" \
  -H "Authorization: Bearer $KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "target_type": "domain",
    "target_value": "pelda.hu",
    "service_type": "ssh",
    "location": "SSH teszt"
  }'

said "delete a device"
curl -i -X DELETE "$BASE/devices/delete?id=31" \
  -H "Authorization: Bearer $KEY"

said "blacklist monitors"
curl -i -X GET "$BASE/blacklist-monitors" \
  -H "Authorization: Bearer $KEY"

said "create a blacklist monitor of a domain"
curl -i -X POST "$BASE/blacklist-monitors/create" \
  -H "Authorization: Bearer $KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "target_type": "domain",
    "target_value": "smtp1.pelda.hu",
    "is_enabled": 1
  }'

said "create a blacklist monitor of an address"
curl -i -X POST "$BASE/blacklist-monitors/create" \
  -H "Authorization: Bearer $KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "target_type": "ip",
    "target_value": "1.2.3.4",
    "is_enabled": 1
  }'

said "delete a blacklist monitor"
curl -i -X DELETE "$BASE/blacklist-monitors/delete?id=5" \
  -H "Authorization: Bearer $KEY"

# The section "CLI példák" says some of it again: what is there already is a duplicate then.

said "CLI: me"
curl -i -X GET "$BASE/me" \
  -H "Authorization: Bearer $KEY"

said "CLI: devices"
curl -i -X GET "$BASE/devices" \
  -H "Authorization: Bearer $KEY"

said "CLI: create a web device"
curl -i -X POST "$BASE/devices/create" \
  -H "Authorization: Bearer $KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "target_type": "domain",
    "target_value": "google.com",
    "service_type": "web",
    "scheme": "https",
    "check_public_https": 1,
    "check_public_tls": 1,
    "expect_status": 200,
    "location": "API teszt"
  }'

said "CLI: blacklist monitors"
curl -i -X GET "$BASE/blacklist-monitors" \
  -H "Authorization: Bearer $KEY"

said "CLI: create a blacklist monitor"
curl -i -X POST "$BASE/blacklist-monitors/create" \
  -H "Authorization: Bearer $KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "target_type": "domain",
    "target_value": "smtp1.pelda.hu",
    "is_enabled": 1
  }'
