import { createHash } from 'node:crypto';
import type { Component, Program } from './components';

/** What a bill of materials speaks of. */
export interface SbomSubject {
  /** `hello`, `acme/hello`. */
  readonly name: string;
  /** Of the manifest, `sha256:<hex>`. */
  readonly digest: string;
  /** `linux/amd64` */
  readonly platform: string;
  readonly programs: readonly Program[];
  readonly components: readonly Component[];
  /** Seconds since 1970: the image's own time. */
  readonly createdSeconds: number;
}

/** CycloneDX 1.5, JSON. The same image gives the same bytes. https://cyclonedx.org/docs/1.5/json/ */
export function cycloneDx({ name, digest, platform, programs, components, createdSeconds }: SbomSubject): Buffer {
  const imageRef = ociPurl(name, digest);
  const refOf = ({ purl, version }: Component) => (purl.includes('@') ? purl : `${purl}#${version}`);
  return encode({
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    serialNumber: `urn:uuid:${uuidOf(`cyclonedx ${digest}`)}`,
    version: 1,
    metadata: {
      timestamp: timeOf(createdSeconds),
      tools: { components: [{ type: 'application', name: 'slim-go' }] },
      component: {
        'bom-ref': imageRef,
        type: 'container',
        name,
        version: digest,
        purl: imageRef,
        properties: [
          { name: 'slim-go:platform', value: platform },
          ...programs.map(({ path, info }) => ({ name: 'slim-go:program', value: `/${path} ${info.path}` })),
        ],
      },
    },
    components: components.map((component) => ({
      'bom-ref': refOf(component),
      type: 'library',
      name: component.name,
      version: component.version,
      purl: component.purl,
      ...(component.licence === undefined ? {} : { licenses: [{ license: { id: component.licence } }] }),
      ...(component.sum === undefined ? {} : { properties: [{ name: 'slim-go:go.sum', value: component.sum }] }),
    })),
    dependencies: [{ ref: imageRef, dependsOn: components.map(refOf) }],
  });
}

/** SPDX 2.3, JSON. The same image gives the same bytes. https://spdx.github.io/spdx-spec/v2.3/ */
export function spdx({ name, digest, platform, programs, components, createdSeconds }: SbomSubject): Buffer {
  const ids = components.map((_, index) => `SPDXRef-Package-${index + 1}`);
  const purlReference = (purl: string) => ({
    referenceCategory: 'PACKAGE-MANAGER',
    referenceType: 'purl',
    referenceLocator: purl,
  });
  const common = { downloadLocation: 'NOASSERTION', filesAnalyzed: false, copyrightText: 'NOASSERTION' };
  return encode({
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name,
    documentNamespace: `https://spdx.org/spdxdocs/slim-go-${uuidOf(`spdx ${digest}`)}`,
    creationInfo: { created: timeOf(createdSeconds), creators: ['Tool: slim-go'] },
    packages: [
      {
        SPDXID: 'SPDXRef-Image',
        name,
        versionInfo: digest,
        primaryPackagePurpose: 'CONTAINER',
        comment: [platform, ...programs.map(({ path, info }) => `/${path} is ${info.path}`)].join('; '),
        licenseConcluded: 'NOASSERTION',
        licenseDeclared: 'NOASSERTION',
        ...common,
        externalRefs: [purlReference(ociPurl(name, digest))],
      },
      ...components.map((component, index) => ({
        SPDXID: ids[index],
        name: component.name,
        versionInfo: component.version,
        licenseConcluded: 'NOASSERTION',
        licenseDeclared: component.licence ?? 'NOASSERTION',
        ...common,
        ...(component.sum === undefined ? {} : { comment: `go.sum ${component.sum}` }),
        externalRefs: [purlReference(component.purl)],
      })),
    ],
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: 'SPDXRef-Image' },
      ...ids.map((id) => ({
        spdxElementId: 'SPDXRef-Image',
        relationshipType: 'CONTAINS',
        relatedSpdxElement: id,
      })),
    ],
  });
}

/** https://github.com/package-url/purl-spec/blob/main/types-doc/oci-definition.md */
function ociPurl(name: string, digest: string): string {
  return `pkg:oci/${name.split('/').at(-1)}@${encodeURIComponent(digest)}`;
}

/** A UUID that depends on a text alone: version 8 of RFC 9562. */
function uuidOf(text: string): string {
  const bytes = createHash('sha256').update(text).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

function encode(document: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(document, null, 2)}\n`);
}
