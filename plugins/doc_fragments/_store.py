# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The options that say where a store is and how to get in: the same words in every module."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: the options of the stores that there are."""

    DOCUMENTATION = r"""
options:
  destination:
    description:
      - URL of the folder in which images are published. Its scheme names the kind of store.
      - C(https://host/folder) is a WebDAV server, a repository of Artifactory, a raw repository of Nexus, or another
        server to which files are sent with a plain C(PUT). See O(https_method).
      - C(s3://bucket/prefix) is a bucket of Amazon S3 or, with O(endpoint_url), of another server that speaks S3.
      - C(azblob://account/container/prefix) is a container of Azure Blob Storage.
      - C(sftp://host/path) is a folder on an SSH server, such as the document root of a web server.
      - C(sharepoint://tenant/site/drive/path) is a folder in a document library of SharePoint Online.
      - C(file:///folder) is a folder on the host that runs the module, such as a mounted share or a web root.
      - It must not hold a user name or a password, because URLs are logged. C(http://) is refused.
    type: str
    required: true
  username:
    description: User who may write to the store, for C(https://) and C(sftp://) destinations.
    type: str
  password:
    description: Password of O(username).
    type: str
  token:
    description:
      - Bearer token for the store, in place of O(username) and O(password), O(account_key) or O(client_secret).
    type: str
  ca_path:
    description:
      - Path, on the host that runs the module, of a PEM file with the certificate authorities to trust, for a store
        with a certificate of a company's own authority. It takes the place of the well-known authorities.
      - By default the file that one of the environment variables E(REQUESTS_CA_BUNDLE), E(CURL_CA_BUNDLE) and
        E(SSL_CERT_FILE) names, else the well-known authorities that the C(requests) library knows. The keychain of
        macOS is not read.
    type: path
  proxy:
    description:
      - URL of the proxy between the host that runs the module and the store. It may hold a user name and a password.
      - By default what the environment variables E(HTTPS_PROXY), E(ALL_PROXY) and E(NO_PROXY) say. The system
        settings of macOS are not read.
    type: str
  part_size:
    description:
      - How many bytes of an image go out in one request, where a store takes it in parts. It may have a unit, such as
        V(64M), and is at least V(1M). After a break, at most so many bytes are sent again.
      - By default what suits the kind of store, which is V(64M) for S3, Azure and WebDAV servers that go on within a
        file. Other HTTPS servers take a file in one request, and C(file://) folders need no parts.
      - For S3 it is at least V(5M) and at most V(5119M). Each part is up to 1 MiB larger, by which a later run knows
        which image an unfinished upload is of.
      - A store that takes no more than a number of parts gets larger ones for a large image.
      - A server that copies the whole file for each part, such as lighttpd with C(partial-put-copy-modify), wants a
        much larger one, such as V(8G).
    type: str
  concurrency:
    description:
      - How many parts are sent at the same time, from 1 to 32, where a store takes parts side by side (S3, Azure,
        SFTP).
      - By default what suits the kind of store. More helps where the way to the store is long; too much makes servers
        and office lines fail.
    type: int
  rate_limit:
    description:
      - Upper limit of the upload's speed in bytes a second, with an optional unit, such as V(20M). K, M and G are
        powers of 1024.
      - By default there is none.
    type: str
  timeout:
    description:
      - How many seconds a server may stay silent, when it is connected to, when it takes bytes, and when it answers.
      - After the last byte of an image it may in addition take a second for each 10 MiB of it.
      - A connection that crawls counts as broken, too. So many seconds and one minute more are given to each MiB.
    type: int
    default: 60
  retries:
    description:
      - How often something is tried again that may pass by itself, such as a broken connection or a busy server. The
        pauses grow from 2 seconds to 2 minutes, unless the server asks for another one.
    type: int
    default: 4
  https_method:
    description:
      - How a file gets its place on an HTTPS server.
      - V(webdav) sends it under a temporary name that begins with a dot, and then renames it (C(MOVE)). Nobody ever
        sees a part of a file, and other bytes under the final name are never overwritten by accident.
      - V(artifactory) is for repositories of JFrog Artifactory. It sends the image's SHA-256 first, and no byte of an
        image that Artifactory has already, under any name. Then it sends the file to its final name, with its SHA-256,
        which Artifactory compares.
      - V(nexus) is for raw repositories of Sonatype Nexus, to which files are sent under their final names.
      - V(put) sends it to its final name on other servers. Apache, nginx and repositories show a file only when all of
        it has arrived. A server that shows what it has received so far is tidied up after a failure that the module
        lives to see, and at its next run.
      - V(auto) takes V(artifactory), V(nexus) or V(webdav) when the server says that it is that, else V(put).
    type: str
    choices: [auto, webdav, artifactory, nexus, put]
    default: auto
  endpoint_url:
    description:
      - URL of the service, where it is not the public one of Amazon or Microsoft. Such as V(https://s3.example.com) for
        Ceph, MinIO or SeaweedFS, or V(https://ACCOUNT.blob.core.usgovcloudapi.net).
    type: str
  access_key:
    description:
      - Access key of an S3 store. By default what boto3 finds on the host that runs the module, such as in
        E(AWS_ACCESS_KEY_ID), in a profile (E(AWS_PROFILE)), or from the role of a machine. Such credentials are renewed
        when they end in the middle of an upload, where their source has new ones.
    type: str
  secret_key:
    description: Secret key of O(access_key).
    type: str
  session_token:
    description: Session token, for a temporary O(access_key).
    type: str
  region:
    description:
      - Region of an S3 bucket, such as V(eu-central-1). By default what boto3 finds in E(AWS_DEFAULT_REGION) or in a
        profile. One of Amazon's buckets needs it. With O(endpoint_url) it is V(us-east-1) by default, which most other
        servers want to hear.
    type: str
  s3_storage_class:
    description:
      - Storage class of images in S3, such as V(STANDARD_IA). By default none is asked for, which means V(STANDARD).
      - V(GLACIER) and V(DEEP_ARCHIVE) are refused, because nothing can be downloaded from them.
    type: str
  s3_acl:
    description:
      - Canned access control list of what is written to S3, such as V(public-read). By default none is sent, as buckets
        without such lists want it; a bucket policy is the better way to let everybody read.
    type: str
  s3_encryption:
    description: Encryption at rest that is asked of S3 for all that is written. By default that of the bucket.
    type: str
    choices: [AES256, "aws:kms"]
  s3_kms_key_id:
    description: ID or ARN of the key for O(s3_encryption=aws:kms). By default the account's own for S3.
    type: str
  s3_tags:
    description: Tags of all that is written to S3, at most 10.
    type: dict
  s3_checksum:
    description:
      - Checksum by which an S3 store proves each part that it gets.
      - V(auto) takes SHA-256 where the store verifies it, else C(Content-MD5) where it verifies that. Amazon's does the
        former; others are tried out with a tiny file.
      - With V(none) nothing but TLS protects the bytes on their way. It is for servers that refuse all others.
    type: str
    choices: [auto, sha256, crc32, none]
    default: auto
  account_key:
    description: Key of an Azure storage account.
    type: str
  sas_token:
    description:
      - Shared access signature for an Azure container, with the rights to read, create, write, delete and list.
    type: str
  azblob_tier:
    description: Access tier of images in Azure. By default that of the account.
    type: str
    choices: [Hot, Cool, Cold]
  private_key_path:
    description:
      - Path of a private key for C(sftp://), on the host that runs the module. Without it and without O(password), the
        keys of an SSH agent are tried.
    type: path
  private_key_passphrase:
    description: Passphrase of O(private_key_path).
    type: str
  known_hosts_path:
    description:
      - Path of the file with the keys of known SSH servers, on the host that runs the module. By default
        C(~/.ssh/known_hosts). A server that is not in it is refused.
    type: path
  tenant_id:
    description: Microsoft Entra tenant (directory) of a C(sharepoint://) destination, its ID or its domain name.
    type: str
  client_id:
    description: ID of the application that may write to the document library.
    type: str
  client_secret:
    description: Secret of O(client_id).
    type: str
requirements:
  - requests >= 2.25.0 and urllib3 >= 1.26.0, for C(https://), C(s3://) and C(sharepoint://) destinations
  - boto3 >= 1.26.0, for C(s3://) destinations
  - azure-storage-blob >= 12.14.0, for C(azblob://) destinations
  - paramiko >= 2.9.0, for C(sftp://) destinations
notes:
  - Passwords are never taken from a C(.netrc) file.
"""
