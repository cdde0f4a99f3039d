import { SlimGoError } from '../../errors';
import { describeDockerfile } from './describe';

const describeText = (text: string, options = {}) => describeDockerfile(text, 'Dockerfile', options);

describe('describeDockerfile', () => {
  it('names what the scaffolded Dockerfile reads and that it needs no engine', () => {
    const text = [
      'FROM scratch',
      'ARG TARGETPLATFORM',
      'COPY dist/${TARGETPLATFORM}/hello /hello',
      'EXPOSE 8080',
      'USER 65532:65532',
      'ENTRYPOINT ["/hello"]',
    ].join('\n');
    expect(describeText(text)).toEqual({
      exposes: ['8080/tcp'],
      fromScratch: true,
      images: [],
      needsEngine: false,
      reason: undefined,
      contextSources: ['dist/**/hello'],
    });
  });

  it('looks at the stages that the image is made of only', () => {
    const text = `FROM golang:1 AS unused
COPY unused.go .
FROM scratch AS files
ADD etc /etc
ARG TARGETOS
ARG TARGETARCH
COPY --chmod=755 bin/$TARGETOS-$TARGETARCH/* ./x .//y/../z /bin/
FROM scratch
COPY --from=files / /
COPY . /src`;
    expect(describeText(text)).toMatchObject({
      needsEngine: false,
      contextSources: ['.', 'bin/*-*/*', 'etc', 'x', 'z'],
    });
    expect(describeText(text, { target: 'unused' })).toMatchObject({
      needsEngine: false,
      fromScratch: false,
      images: ['golang:1'],
      contextSources: ['unused.go'],
    });
  });

  it('takes build arguments before defaults', () => {
    const text = 'ARG DIR=a\nFROM scratch\nARG DIR\nCOPY $DIR/x /\n';
    expect(describeText(text).contextSources).toEqual(['a/x']);
    expect(describeText(text, { buildArgs: { DIR: 'b' } }).contextSources).toEqual(['b/x']);
  });

  it('names the images that are needed, once, with wildcards for the platform', () => {
    const text =
      'ARG TAG=3\nFROM unused AS a\nFROM alpine:${TAG} AS b\nFROM --platform=$BUILDPLATFORM tools-$TARGETARCH AS c\nFROM b\nCOPY --from=alpine:3 /a /\nCOPY --from=c /b /\nCOPY --from=certs:1 /c /\n';
    expect(describeText(text)).toMatchObject({ fromScratch: false, needsEngine: false });
    expect(describeText(text).images).toEqual(['alpine:3', 'tools-*', 'certs:1']);
  });

  it('says why an engine is needed, by the first line', () => {
    const text =
      'FROM golang:1.26-alpine AS build\nCOPY go.mod .\nRUN go build\nFROM scratch\nCOPY --from=build /x /x\n';
    const description = describeText(text);
    expect(description.needsEngine).toBe(true);
    expect(description.reason).toMatchObject({ line: 3, instruction: 'RUN' });
    expect(description.contextSources).toEqual(['go.mod']);
  });

  it.each([
    '',
    '\0',
    'FROM',
    'FROM a AS',
    'FROM scratch\nCOPY',
    'COPY ["',
    'FROM ${',
    'ENV a=\nFROM $a',
    '<<',
    'FROM scratch\nCOPY <<"',
    'FROM scratch\nEXPOSE $(',
    'FROM --platform=%% scratch',
    '{"syntax":"x"}',
    'FROM scratch\nHEALTHCHECK --interval=99999999h CMD',
  ])('answers odd input with an error for people: %j', (text) => {
    let error: unknown;
    try {
      describeText(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(SlimGoError);
  });

  it('answers a file cut at any place, or takes it', () => {
    const text =
      'ARG B=scratch\n# c\nFROM ${B} AS a\nENV X="y z" \\\n W=\'q\'\nCOPY --from=0 [a]* <<E /d/\n$X\nE\nCMD ["x"]\nEXPOSE 1-3/udp\n';
    for (let end = 0; end <= text.length; end++) {
      try {
        describeText(text.slice(0, end));
      } catch (error) {
        expect(error).toBeInstanceOf(SlimGoError);
      }
    }
  });
});
