import { parseLayoutContext } from './layout-context';

it.each([
  ['oci-layout://bases/alpine', { folder: 'bases/alpine', tag: undefined }],
  ['oci-layout://./bases/alpine:3.22', { folder: 'bases/alpine', tag: '3.22' }],
  ['docker-image://alpine:3', undefined],
])('reads %s', (text, expected) => {
  expect(parseLayoutContext(text)).toEqual(expected);
});

it.each(['oci-layout:///bases', 'oci-layout://../bases', 'oci-layout://a/../..:1'])('refuses %s', (text) => {
  expect(() => parseLayoutContext(text)).toThrow(/lies outside of the workspace/);
});
