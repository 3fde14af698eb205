# docker pull docker.io/bundle/in-script:1.0
